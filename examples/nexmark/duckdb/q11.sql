WITH marked AS (
    SELECT bidder, dateTime,
        coalesce(dateTime > lag(dateTime) OVER w + INTERVAL 10 SECOND, true)::INTEGER AS begins
    FROM bid WINDOW w AS (PARTITION BY bidder ORDER BY dateTime)
), numbered AS (
    SELECT *, sum(begins) OVER (PARTITION BY bidder ORDER BY dateTime) AS session FROM marked
)
SELECT bidder, min(dateTime) AS window_start, max(dateTime) + INTERVAL 10 SECOND AS window_end, count(*) AS bid_count
FROM numbered GROUP BY bidder, session
