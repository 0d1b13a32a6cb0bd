use super::kind::Kind;
use arrow::datatypes::DataType;
use model::{CHANGE_COLUMNS, Column, Key, TableId, TableSchema};
use std::sync::Arc;

/// A data column of a table as the source reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeColumn {
    /// The name at the source.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// For people.
    pub(crate) source_type: String,
}

/// What is known of a table while its rows are read: how to decode each column, and the schema that the lake is told.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) id: TableId,
    pub(crate) columns: Vec<ShapeColumn>,
    pub(crate) key: Key,
    /// Names of the columns that have a sibling for values the typed column can't hold. They stay, also over restarts.
    odd: Vec<String>,
    schema: Arc<TableSchema>,
}

impl Shape {
    pub(crate) fn new(id: TableId, columns: Vec<ShapeColumn>, key: Key, odd: Vec<String>, version: u32) -> Self {
        let schema = Arc::new(TableSchema { id: id.clone(), version: 0, columns: Vec::new(), key: key.clone() });
        let mut shape = Self { id, columns, key, odd, schema };
        shape.rebuild(version);
        shape
    }

    /// The schema of this version.
    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Names of the columns with siblings, for the cursor.
    pub(crate) fn odd_names(&self) -> &[String] {
        &self.odd
    }

    /// Indexes of the columns with siblings, in the order in which the siblings follow the columns.
    pub(crate) fn siblings(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().enumerate().filter(|(_, c)| self.odd.contains(&c.name)).map(|(i, _)| i)
    }

    /// Gives siblings to these columns; true where one is new, and with it the version.
    pub(crate) fn add_siblings(&mut self, indexes: impl Iterator<Item = usize>) -> bool {
        let before = self.odd.len();
        for index in indexes {
            if let Some(column) = self.columns.get(index)
                && !self.odd.contains(&column.name)
            {
                self.odd.push(column.name.clone());
            }
        }
        let grown = self.odd.len() > before;
        if grown {
            self.rebuild(self.schema.version + 1);
        }
        grown
    }

    /// Takes another set of columns or key; true where that is a new version.
    pub(crate) fn change(&mut self, columns: Vec<ShapeColumn>, key: Key) -> bool {
        if self.columns == columns && self.key == key {
            return false;
        }
        self.columns = columns;
        self.key = key;
        self.rebuild(self.schema.version + 1);
        true
    }

    /// The name of a data column in the lake: the source's, unless that is the name of a change column.
    fn lake_column(name: &str) -> String {
        if CHANGE_COLUMNS.contains(&name) { format!("{name}__source") } else { name.to_owned() }
    }

    fn rebuild(&mut self, version: u32) {
        let mut columns: Vec<Column> = self
            .columns
            .iter()
            .map(|c| Column {
                name: Self::lake_column(&c.name),
                data_type: c.kind.data_type(),
                nullable: c.nullable,
                source_type: c.source_type.clone(),
            })
            .collect();
        for index in self.siblings().collect::<Vec<_>>() {
            let mut name = format!("{}__text", columns[index].name);
            while columns.iter().any(|c| c.name == name) {
                name.push('_');
            }
            let source_type =
                format!("text of the {} values that {} can't hold", columns[index].source_type, columns[index].name);
            columns.push(Column { name, data_type: DataType::Utf8, nullable: true, source_type });
        }
        let key = match &self.key {
            Key::Columns(names) => Key::Columns(names.iter().map(|n| Self::lake_column(n)).collect()),
            other => other.clone(),
        };
        self.schema = Arc::new(TableSchema { id: self.id.clone(), version, columns, key });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ShapeColumn {
        ShapeColumn { name: name.into(), kind: Kind::Date, nullable: true, source_type: "date".into() }
    }

    fn names(shape: &Shape) -> Vec<String> {
        shape.schema().columns.iter().map(|c| c.name.clone()).collect()
    }

    #[test]
    fn siblings_follow_all_columns_and_make_a_new_version_once() {
        let mut shape =
            Shape::new(TableId::new("public", "t"), vec![column("a"), column("b"), column("b__text")], Key::None, vec![], 1);
        assert!(shape.add_siblings([1].into_iter()));
        assert!(!shape.add_siblings([1].into_iter()));
        assert_eq!(
            (shape.schema().version, names(&shape)),
            (2, vec!["a".into(), "b".into(), "b__text".into(), "b__text_".into()])
        );
    }

    #[test]
    fn a_column_named_like_a_change_column_gets_another_name() {
        let key = Key::Columns(vec!["_op".into()]);
        let shape = Shape::new(TableId::new("public", "t"), vec![column("_op")], key, vec![], 1);
        assert_eq!(names(&shape), ["_op__source"]);
        assert_eq!(shape.schema().key, Key::Columns(vec!["_op__source".into()]));
    }
}
