use crate::index::Location;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Former places that are kept at most, 8 bytes each.
const PLACES_MOST: usize = 1 << 17;
/// Pieces that are kept at most.
const PIECES_MOST: usize = 1 << 14;

/// What the rows that came last replaced, so that a view from before them still finds its own rows. Bounded: what came long ago is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In order of place, which is that of arrival.
    pieces: VecDeque<Piece>,
    places: usize,
}

/// Consecutive rows of one file.
#[derive(Debug)]
struct Piece {
    first: Location,
    rows: u32,
    /// Where the index had their keys before; nothing where it had none of them.
    former: Option<Arc<[Location]>>,
}

impl Trail {
    /// Remembers what the index answered as the rows from `first` on were put.
    pub(crate) fn push(&self, first: Location, former: &[Location]) {
        let known = former.iter().any(|place| !place.is_none());
        let piece = Piece { first, rows: former.len() as u32, former: known.then(|| former.into()) };
        let mut inner = self.inner.lock();
        inner.places += piece.places();
        inner.pieces.push_back(piece);
        while inner.places > PLACES_MOST || inner.pieces.len() > PIECES_MOST {
            let Some(oldest) = inner.pieces.pop_front() else { break };
            inner.places -= oldest.places();
        }
    }

    /// Where the index had the key of the row at `place` before; nothing where that is not remembered.
    pub(crate) fn former(&self, place: Location) -> Option<Location> {
        let inner = self.inner.lock();
        let at = inner.pieces.partition_point(|piece| piece.first <= place).checked_sub(1)?;
        let piece = &inner.pieces[at];
        let row =
            place.row().checked_sub(piece.first.row()).filter(|row| piece.first.file() == place.file() && *row < piece.rows)?;
        Some(piece.former.as_ref().map_or(Location::NONE, |former| former[row as usize]))
    }
}

impl Piece {
    fn places(&self) -> usize {
        self.former.as_ref().map_or(0, |former| former.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_what_the_last_rows_replaced_and_forgets_the_oldest() {
        let trail = Trail::default();
        let place = Location::new;
        trail.push(place(3, 0), &[Location::NONE, Location::NONE]);
        trail.push(place(3, 2), &[place(1, 7), Location::NONE]);
        trail.push(place(5, 0), &[place(3, 2)]);
        let asked = [(3, 0), (3, 1), (3, 2), (3, 3), (5, 0)].map(|(file, row)| trail.former(place(file, row)));
        assert_eq!(asked, [Location::NONE, Location::NONE, place(1, 7), Location::NONE, place(3, 2)].map(Some));
        assert_eq!([(2, 0), (3, 4), (4, 0), (5, 1)].map(|(file, row)| trail.former(place(file, row))), [None; 4]);
        trail.push(place(6, 0), &vec![place(5, 0); PLACES_MOST]);
        assert_eq!([trail.former(place(3, 2)), trail.former(place(5, 0))], [None; 2]);
        assert_eq!(trail.former(place(6, 9)), Some(place(5, 0)));
    }
}
