SELECT auction, bidder, price, channel, url, dateTime, extra FROM bid
QUALIFY row_number() OVER (PARTITION BY auction ORDER BY price DESC, dateTime, bidder) <= 10
