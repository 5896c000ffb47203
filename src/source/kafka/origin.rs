//! Origin: where messages came from, by the header that `produce` gives them: 16 bytes that name a stream
//! (a file by its content), then the message's order in it, 8 bytes, big-endian.
//!
//! Orders of one origin rise within a partition. So a message whose order is not above the greatest seen was
//! counted before: a load without transactions that was begun again, a file that was sent twice. The greatest orders
//! are positions beside the partition's own (`origin/<partition>/<hex>`), so they are decided with the flush.

use crate::flush::{Position, Positions};
use hashbrown::HashMap;

/// Origins kept a partition, the last ones seen: a file a day for years.
const MOST: usize = 1024;

type Name = [u8; 16];

/// The origins of one partition.
#[derive(Debug)]
pub(super) struct Origins {
    /// What the stream names begin with.
    prefix: String,
    known: HashMap<Name, usize>,
    list: Vec<Origin>,
    last: Option<usize>,
}

#[derive(Clone, Debug)]
struct Origin {
    name: Name,
    /// The least order that was not counted.
    next: u64,
    /// The offset of its last message.
    seen: u64,
}

impl Origins {
    /// As the positions of a partition say.
    pub(super) fn new(partition: i32, from: &Positions) -> Origins {
        let prefix = format!("origin/{partition}/");
        let known = from.iter().filter_map(|position| {
            Some(Origin {
                name: unhex(position.stream.strip_prefix(&prefix)?)?,
                next: position.row,
                seen: position.at,
            })
        });
        let mut origins = Origins {
            known: HashMap::new(),
            list: known.collect(),
            last: None,
            prefix,
        };
        origins.index();
        origins
    }

    fn index(&mut self) {
        let named = self.list.iter().enumerate().map(|(i, o)| (o.name, i));
        self.known = named.collect();
        self.last = None;
    }

    /// Whether a message with this header was not counted before; it is from now on.
    pub(super) fn admit(&mut self, header: Option<&[u8]>, offset: i64) -> bool {
        let Some((name, order)) = header.and_then(read) else {
            return true;
        };
        let at = self.find(name);
        let Some(origin) = self.list.get_mut(at) else {
            return true;
        };
        origin.seen = offset.max(0) as u64;
        let fresh = order >= origin.next;
        origin.next = origin.next.max(order.saturating_add(1));
        fresh
    }

    fn find(&mut self, name: Name) -> usize {
        // Messages of one load follow each other.
        if let Some(last) = self.last
            && self.list.get(last).is_some_and(|o| o.name == name)
        {
            return last;
        }
        let at = match self.known.get(&name) {
            Some(at) => *at,
            None => self.add(name),
        };
        self.last = Some(at);
        at
    }

    fn add(&mut self, name: Name) -> usize {
        if self.list.len() >= MOST {
            let oldest = (0..self.list.len()).min_by_key(|i| self.list[*i].seen);
            self.list.swap_remove(oldest.unwrap_or(0));
            self.index();
        }
        let at = self.list.len();
        self.list.push(Origin {
            name,
            next: 0,
            seen: 0,
        });
        self.known.insert(name, at);
        at
    }

    /// As positions.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.list.iter().map(|origin| Position {
            stream: format!("{}{}", self.prefix, hex(&origin.name)),
            at: origin.seen,
            row: origin.next,
            ..Position::default()
        })
    }
}

fn read(header: &[u8]) -> Option<(Name, u64)> {
    let (name, order) = header.split_first_chunk::<16>()?;
    Some((*name, u64::from_be_bytes(order.try_into().ok()?)))
}

fn hex(name: &Name) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |d: u8| char::from(DIGITS[usize::from(d & 15)]);
    name.iter()
        .flat_map(|b| [digit(b >> 4), digit(*b)])
        .collect()
}

fn unhex(text: &str) -> Option<Name> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: u8, order: u64) -> Vec<u8> {
        let mut all = vec![name; 16];
        all.extend(order.to_be_bytes());
        all
    }

    #[test]
    fn an_order_that_was_counted_is_not_counted_again() {
        let mut origins = Origins::new(3, &Vec::new());
        let mut seen = |name, order, at| origins.admit(Some(&header(name, order)), at);
        assert!(seen(1, 0, 0) && seen(1, 5, 1) && seen(2, 3, 2));
        assert!(!seen(1, 5, 3) && !seen(1, 2, 4) && !seen(2, 3, 5));
        assert!(seen(1, 6, 6));
        let kept: Positions = origins.positions().collect();
        let mut again = Origins::new(3, &kept);
        assert!(!again.admit(Some(&header(1, 6)), 7) && again.admit(Some(&header(1, 7)), 8));
        // Another partition has its own.
        assert!(Origins::new(4, &kept).admit(Some(&header(1, 6)), 7));
    }

    #[test]
    fn messages_without_a_whole_header_are_always_new() {
        let mut origins = Origins::new(0, &Vec::new());
        for _ in 0..2 {
            assert!(origins.admit(None, 0) && origins.admit(Some(b"short"), 1));
        }
        assert_eq!(origins.positions().count(), 0);
    }

    #[test]
    fn the_origin_that_was_silent_longest_is_forgotten_first() {
        let mut origins = Origins::new(0, &Vec::new());
        let name = |i: usize| {
            let mut all = vec![0; 8];
            all.extend((i as u64).to_be_bytes());
            all.extend(0u64.to_be_bytes());
            all
        };
        for i in 0..=MOST {
            assert!(origins.admit(Some(&name(i)), i as i64));
        }
        assert_eq!(origins.positions().count(), MOST);
        assert!(!origins.admit(Some(&name(1)), 5000));
        assert!(origins.admit(Some(&name(0)), 5001));
    }
}
