use crate::{
    connect::Lsn,
    discover::{Layout, Stored},
};
use model::{Cursor, Position, TableId};
use pipeline::{Error, Kind};
use serde::{Deserialize, Serialize};

/// What the source keeps in a cursor: from where the slot goes on, and which tables are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The cluster's identifier; another cluster has another log. Empty where the role may not ask.
    pub(crate) system: String,
    pub(crate) slot: String,
    /// Transactions whose commit record starts before this are in the lake.
    pub(crate) lsn: Lsn,
    pub(crate) tables: Vec<Attached>,
}

/// A table that is copied and followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attached {
    #[serde(flatten)]
    pub(crate) id: TableId,
    /// A table made anew under the same name has another one.
    pub(crate) oid: u32,
    /// Changes committed before this are in its copy.
    pub(crate) from: Lsn,
    /// Only inserts and truncates are published.
    #[serde(default)]
    pub(crate) inserts_only: bool,
    /// Columns with a sibling for values they can't hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) odd: Vec<String>,
    /// Its columns when the catalog was last looked at. Empty in cursors of lakebox before it was kept.
    #[serde(default, skip_serializing_if = "Layout::is_empty")]
    pub(crate) layout: Layout,
    /// How its rows were stored then.
    #[serde(default, skip_serializing_if = "Stored::is_unknown")]
    pub(crate) stored: Stored,
}

/// The position of everything that is included in `lsn`: commit records that start before it.
///
/// The next transaction's record may start exactly at `lsn`, so the last included position is the byte before.
pub(crate) fn included(lsn: Lsn) -> u64 {
    lsn.0.saturating_sub(1)
}

impl State {
    pub(crate) fn read(cursor: &Cursor) -> Result<Self, Error> {
        let state: Self = serde_json::from_value(cursor.state.clone()).map_err(|e| {
            Error::new(Kind::PositionLost, format!("the stored cursor `{}` is not one of a PostgreSQL source", cursor.display))
                .with_hint("The source's type was changed under its name. Resync the pipeline, or give the source another name.")
                .with_source(e)
        })?;
        if state.lsn == Lsn(0) {
            // Position 0 would mean "wherever the slot stands", which is nobody's position.
            return Err(Error::new(Kind::PositionLost, "the stored cursor of a PostgreSQL source stands at 0/0"));
        }
        Ok(state)
    }

    pub(crate) fn cursor(&self, seq: u64, commit_ts_us: Option<i64>) -> Result<Cursor, Error> {
        let state =
            serde_json::to_value(self).map_err(|e| Error::new(Kind::Bug, "a cursor can't be written as JSON").with_source(e))?;
        Ok(Cursor { position: Position::new(included(self.lsn), seq), commit_ts_us, state, display: self.lsn.to_string() })
    }

    pub(crate) fn table(&self, id: &TableId) -> Option<&Attached> {
        self.tables.iter().find(|t| t.id == *id)
    }
}

/// The LSN of a cursor of ours; `None` for others.
pub(crate) fn lsn_of(cursor: &Cursor) -> Option<Lsn> {
    cursor.state.get("lsn")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_cursor_and_zero_is_refused() {
        let table = Attached {
            id: TableId::new("public", "t"),
            oid: 7,
            from: Lsn(5),
            inserts_only: false,
            odd: vec!["a".into()],
            layout: Layout::default(),
            stored: Stored::default(),
        };
        let mut state = State { system: "1".into(), slot: "s".into(), lsn: Lsn(0x1_0000_0010), tables: vec![table] };
        let cursor = state.cursor(3, None).unwrap();
        assert_eq!((State::read(&cursor).unwrap(), lsn_of(&cursor)), (state.clone(), Some(Lsn(0x1_0000_0010))));
        assert_eq!((cursor.position, cursor.display.as_str()), (Position::new(0x1_0000_000F, 3), "1/10"));
        state.lsn = Lsn(0);
        assert_eq!(State::read(&state.cursor(0, None).unwrap()).unwrap_err().kind, Kind::PositionLost);
    }
}
