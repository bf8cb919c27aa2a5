WITH closing AS (
    SELECT a.id, a.category, max(b.price) AS final
    FROM auction a JOIN bid b ON b.auction = a.id AND b.dateTime BETWEEN a.dateTime AND a.expires
    GROUP BY ALL
)
SELECT category, avg(final) AS average FROM closing GROUP BY category
