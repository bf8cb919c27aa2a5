//! Nexmark's events: who registers, what is put up for auction, who bids. Every event follows from the seed and its number alone, so that any range of
//! them can be made anew. Knows nothing of tables.

use flowc_ir::{DataType, Field, Schema, Type};

/// Of so many events in a row the first is a person, the next three are auctions, the others bids.
const GROUP: u64 = 50;
const AUCTIONS: u64 = 3;
/// The first person's and the first auction's number.
const FIRST: u64 = 1000;
/// Numbers are hot where they are multiples of this: three auctions in four are by a hot seller, half of the bids on a hot auction, three in four by a hot bidder.
const HOT: u64 = 100;
/// Sellers and bidders that are not hot are among so many who came last; auctions among the last hundred.
const RECENT_PEOPLE: u64 = 1000;
const RECENT_AUCTIONS: u64 = 100;
/// Channels that are no hot ones.
const CHANNELS: u64 = 10_000;

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
#[rustfmt::skip]
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// Which events there are.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// Another one gives other events.
    pub seed: u64,
    /// When the first one happens: microseconds since 1970-01-01T00:00:00Z.
    pub start: i64,
    /// How many happen in a second; at least one.
    pub rate: u64,
    /// So many microseconds at most an event may happen before its place in the order.
    pub disorder: u64,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Someone registers.
    Person(Row),
    /// Something is put up.
    Auction(Row),
    /// Someone bids.
    Bid(Row),
}

/// The values of an event in the order of its table's columns.
pub type Row = Vec<Cell>;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Of a `long`.
    Number(i64),
    /// Of a `timestamp`, in microseconds.
    Time(i64),
    /// Of a `string`.
    Text(String),
}

/// The columns of the table of people.
pub fn person() -> Schema {
    columns(&["id"], &["name", "emailAddress", "creditCard", "city", "state"], &["dateTime"], &["extra"])
}

/// The columns of the table of auctions.
pub fn auction() -> Schema {
    let mut schema = columns(&["id"], &["itemName", "description"], &[], &[]);
    let rest = [
        columns(&["initialBid", "reserve"], &[], &["dateTime", "expires"], &[]),
        columns(&["seller", "category"], &["extra"], &[], &[]),
    ];
    schema.fields.extend(rest.into_iter().flat_map(|s| s.fields));
    schema
}

/// The columns of the table of bids.
pub fn bid() -> Schema {
    columns(&["auction", "bidder", "price"], &["channel", "url"], &["dateTime"], &["extra"])
}

fn columns(numbers: &[&str], texts: &[&str], times: &[&str], more: &[&str]) -> Schema {
    let all =
        [(numbers, DataType::Long), (texts, DataType::String), (times, DataType::Timestamp), (more, DataType::String)];
    let fields =
        all.into_iter().flat_map(|(names, ty)| names.iter().map(move |n| Field::new(*n, Type::new(ty.clone()))));
    Schema::new(fields.collect())
}

impl Events {
    /// The event of this number; the first is 0.
    pub fn event(&self, number: u64) -> Event {
        let mut dice = Dice::new(self.seed, number);
        let (group, place) = (number / GROUP, number % GROUP);
        let time = self.at(number) - dice.below(self.disorder + 1) as i64;
        match place {
            0 => Event::Person(self.person(group, time, &mut dice)),
            1..=AUCTIONS => Event::Auction(self.auction(group, place - 1, time, &mut dice)),
            _ => Event::Bid(self.bid(group, time, &mut dice)),
        }
    }

    /// When the event of this number is due.
    fn at(&self, number: u64) -> i64 {
        self.start + (u128::from(number) * 1_000_000 / u128::from(self.rate.max(1))) as i64
    }

    fn person(&self, group: u64, time: i64, dice: &mut Dice) -> Row {
        let name = format!("{} {}", dice.one_of(&FIRST_NAMES), dice.one_of(&LAST_NAMES));
        let email = format!("{}@{}.com", dice.letters(5, 9), dice.letters(4, 8));
        let part = |dice: &mut Dice| format!("{:04}", dice.below(10_000));
        let card = [part(dice), part(dice), part(dice), part(dice)].join(" ");
        let mut row = vec![number(FIRST + group)];
        row.extend([name, email, card, dice.one_of(&CITIES).into(), dice.one_of(&STATES).into()].map(Cell::Text));
        row.extend([Cell::Time(time), Cell::Text(dice.letters(60, 120))]);
        row
    }

    fn auction(&self, group: u64, place: u64, time: i64, dice: &mut Dice) -> Row {
        let last = FIRST + group;
        let seller = if dice.below(4) > 0 { last / HOT * HOT } else { recent(last, RECENT_PEOPLE, dice) };
        // A hundred auctions are open at a time: they last as long as a hundred take to come, on average.
        let horizon = (self.at(HOT * GROUP / AUCTIONS) - self.start) as u64;
        let expires = time + 1_000 + dice.below(2 * horizon + 1) as i64;
        let price = dice.price();
        vec![
            number(FIRST + group * AUCTIONS + place),
            Cell::Text(dice.letters(5, 20)),
            Cell::Text(dice.letters(20, 100)),
            number(price),
            number(price + dice.price()),
            Cell::Time(time),
            Cell::Time(expires),
            number(seller.max(FIRST)),
            number(10 + dice.below(5)),
            Cell::Text(dice.letters(40, 160)),
        ]
    }

    fn bid(&self, group: u64, time: i64, dice: &mut Dice) -> Row {
        let (last_person, last_auction) = (FIRST + group, FIRST + group * AUCTIONS + AUCTIONS - 1);
        let auction =
            if dice.below(2) > 0 { last_auction / HOT * HOT } else { recent(last_auction, RECENT_AUCTIONS, dice) };
        let bidder =
            if dice.below(4) > 0 { last_person / HOT * HOT + 1 } else { recent(last_person, RECENT_PEOPLE, dice) };
        let channel = match dice.below(2) {
            0 => dice.below(HOT_CHANNELS.len() as u64),
            _ => HOT_CHANNELS.len() as u64 + dice.below(CHANNELS),
        };
        vec![
            number(auction.max(FIRST)),
            number(bidder),
            number(dice.price()),
            Cell::Text(channel_name(channel)),
            Cell::Text(self.url(channel)),
            Cell::Time(time),
            Cell::Text(dice.letters(40, 90)),
        ]
    }

    /// A channel's page: the same one for all of its bids.
    fn url(&self, channel: u64) -> String {
        let mut dice = Dice::new(!self.seed, channel);
        let parts = [dice.letters(3, 6), dice.letters(3, 6), dice.letters(3, 6)];
        format!("https://www.nexmark.com/{}/item.htm?query=1&channel_id={channel}", parts.join("/"))
    }
}

fn channel_name(channel: u64) -> String {
    let hot = HOT_CHANNELS.get(channel as usize).map(ToString::to_string);
    hot.unwrap_or_else(|| format!("channel-{}", channel - HOT_CHANNELS.len() as u64))
}

fn number(value: u64) -> Cell {
    Cell::Number(value as i64)
}

/// One of the last so many, the first one at the least.
fn recent(last: u64, most: u64, dice: &mut Dice) -> u64 {
    last.saturating_sub(dice.below(most)).max(FIRST)
}

/// Numbers that follow from what they begin with (SplitMix64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64, number: u64) -> Dice {
        let mut dice = Dice(seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
        // One step more, so that neighbours do not begin with the same number.
        dice.0 = dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    /// Small letters: from `least` to fewer than `end`.
    fn letters(&mut self, least: u64, end: u64) -> String {
        let length = least + self.below(end - least);
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }

    /// From 100 to a hundred million cents, small ones as often as large ones: uniform in each power of ten.
    fn price(&mut self) -> u64 {
        let scale = 10_u64.pow(2 + self.below(6) as u32);
        scale + self.below(9 * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: Events = Events { seed: 7, start: 1_000_000_000, rate: 10_000, disorder: 3_000 };

    #[test]
    fn one_person_three_auctions_and_forty_six_bids_in_fifty() {
        let mut counts = [0; 3];
        for n in 0..5000 {
            let (table, row, schema) = match EVENTS.event(n) {
                Event::Person(row) => (0, row, person()),
                Event::Auction(row) => (1, row, auction()),
                Event::Bid(row) => (2, row, bid()),
            };
            counts[table] += 1;
            for (cell, field) in row.iter().zip(&schema.fields) {
                let ty = match cell {
                    Cell::Number(_) => DataType::Long,
                    Cell::Time(_) => DataType::Timestamp,
                    Cell::Text(_) => DataType::String,
                };
                assert_eq!(field.ty, Type::new(ty), "{}", field.name);
            }
            assert_eq!(row.len(), schema.fields.len());
        }
        assert_eq!(counts, [100, 300, 4600]);
    }

    #[test]
    fn an_event_follows_from_seed_and_number() {
        assert_eq!(EVENTS.event(123_456), EVENTS.event(123_456));
        assert_ne!(EVENTS.event(123_456), Events { seed: 8, ..EVENTS }.event(123_456));
    }

    #[test]
    fn times_increase_but_for_the_disorder() {
        for n in (4..5000).filter(|n| n % GROUP >= 4) {
            let Event::Bid(row) = EVENTS.event(n) else { unreachable!("{n} is a bid") };
            let Cell::Time(time) = row[5] else { unreachable!("a bid's time") };
            let due = 1_000_000_000 + n as i64 * 100;
            assert!((due - 3_000..=due).contains(&time), "{n}: {time}, due {due}");
        }
    }

    #[test]
    fn half_of_the_bids_are_on_a_hot_auction() {
        let auction = |n| match EVENTS.event(n) {
            Event::Bid(row) => row.into_iter().next(),
            _ => None,
        };
        let bids: Vec<Cell> = (50_000..100_000).filter_map(auction).collect();
        let hot = bids.iter().filter(|a| matches!(a, Cell::Number(id) if id % 100 == 0)).count() as f64;
        let share = hot / bids.len() as f64;
        assert!((0.5..0.52).contains(&share), "{share}");
    }
}
