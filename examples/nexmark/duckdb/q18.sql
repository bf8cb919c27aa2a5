SELECT CAST(dateTime AS DATE) AS day, auction, bidder, price, channel, url, dateTime, extra FROM bid
QUALIFY row_number() OVER (PARTITION BY day, bidder, auction ORDER BY dateTime DESC, price DESC, channel) = 1
