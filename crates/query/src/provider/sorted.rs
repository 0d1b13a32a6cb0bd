//! The order that the rows of a scan are in already.

use super::{fields::field_id, files::ChosenFile};
use arrow::{compute::SortOptions, datatypes::Schema};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column};
use lake::TableView;
use std::sync::Arc;

/// The order that the rows of each of `files` are in: the table's sort order, as far as the files that follow one another can keep it. `columns` are those of
/// the table. DataFusion makes use of it where the bounds of files that are read one after the other do not overlap.
pub(super) fn ordering(view: &TableView, files: &[ChosenFile], columns: &Schema) -> Option<LexOrdering> {
    if files.is_empty() || !files.iter().all(|f| f.file.sorted) {
        return None;
    }
    let told = |(name, descending): &(String, bool)| {
        let (index, field) = columns.column_with_name(name)?;
        let stats = |f: &ChosenFile| f.file.stats.get(&field_id(field)?).cloned();
        // Bounds leave NULL and NaN out, so they don't say that these come before the rows of the next file.
        let is_bounded = |f: &ChosenFile| stats(f).is_some_and(|s| s.nulls == Some(0) && s.constant.is_none());
        if files.len() > 1 && (field.data_type().is_floating() || !files.iter().all(is_bounded)) {
            return None;
        }
        let options = SortOptions { descending: *descending, nulls_first: *descending };
        Some(PhysicalSortExpr::new(Arc::new(Column::new(name, index)), options))
    };
    LexOrdering::new(view.sort_order.iter().map_while(told))
}
