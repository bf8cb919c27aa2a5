SELECT a.id, a.itemName, a.seller, a.category, b.bidder, b.price, b.dateTime AS bid_dateTime
FROM auction a JOIN bid b ON b.auction = a.id AND b.dateTime BETWEEN a.dateTime AND a.expires
QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.bidder DESC) = 1
