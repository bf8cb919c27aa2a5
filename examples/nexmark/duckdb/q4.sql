WITH closing AS (
    SELECT a.id, a.category, a.dateTime, max(b.price) AS final
    FROM auction a JOIN bid b ON b.auction = a.id AND b.dateTime BETWEEN a.dateTime AND a.expires
        AND b.dateTime <= a.dateTime + INTERVAL 1 MINUTE
    GROUP BY ALL
)
SELECT category, time_bucket(INTERVAL 1 HOUR, dateTime) AS window_start,
    time_bucket(INTERVAL 1 MINUTE, dateTime) + n * INTERVAL 1 MINUTE AS window_end, avg(final) AS average
FROM closing, range(1, 61) AS minutes(n)
WHERE time_bucket(INTERVAL 1 MINUTE, dateTime) + n * INTERVAL 1 MINUTE <= time_bucket(INTERVAL 1 HOUR, dateTime) + INTERVAL 1 HOUR
GROUP BY ALL
