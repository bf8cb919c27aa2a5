WITH counts AS (
    SELECT auction, time_bucket(INTERVAL 2 SECOND, dateTime) - k * INTERVAL 2 SECOND AS window_start, count(*) AS num
    FROM bid, range(5) AS slides(k)
    GROUP BY ALL
)
SELECT window_start, window_start + INTERVAL 10 SECOND AS window_end, auction, num
FROM counts
QUALIFY num = max(num) OVER (PARTITION BY window_start)
