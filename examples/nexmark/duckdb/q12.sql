SELECT bidder, time_bucket(INTERVAL 10 SECOND, dateTime) AS window_start,
    time_bucket(INTERVAL 10 SECOND, dateTime) + INTERVAL 10 SECOND AS window_end, count(*) AS bid_count
FROM bid GROUP BY ALL
