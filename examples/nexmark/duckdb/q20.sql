SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.dateTime, b.extra, a.itemName, a.description, a.initialBid, a.reserve,
    a.dateTime AS opened, a.expires, a.seller, a.category
FROM bid b JOIN auction a ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime - INTERVAL 1 MINUTE AND a.dateTime + INTERVAL 1 MINUTE
WHERE a.category = 10
