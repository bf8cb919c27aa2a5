SELECT time_bucket(INTERVAL 10 MINUTE, dateTime) AS window_start, auction, bidder, price, channel, url, dateTime, extra FROM bid
QUALIFY row_number() OVER (PARTITION BY window_start, auction ORDER BY price DESC, dateTime, bidder) <= 10
