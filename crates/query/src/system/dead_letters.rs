use super::{optional, required, schema_of, time};
use crate::provider::LakeTableProvider;
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::{
    catalog::{TableProvider, view::ViewTable},
    common::{Column, ScalarValue, TableReference},
    datasource::provider_as_source,
    error::Result,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, lit},
    prelude::Expr,
};
use lake::{LakeView, TableView};
use model::Layer;
use std::sync::Arc;

/// The name in `system`.
pub(super) const NAME: &str = "dead_letters";
const SUFFIX: &str = "__dead_letters";

/// The tables of dead letters, with the source each belongs to.
fn tables(view: &LakeView) -> impl Iterator<Item = (&str, &Arc<TableView>)> {
    let bronze = view.tables.iter().filter(|(t, _)| t.layer == Layer::Bronze);
    bronze.filter_map(|(t, v)| Some((t.name.strip_suffix(SUFFIX)?, v)))
}

/// `source`, then every column that any source's dead letters have, in order of first appearance; without any, the columns they will have.
pub(super) fn schema(view: &LakeView) -> SchemaRef {
    let mut fields: Vec<Field> = vec![required("source", DataType::Utf8)];
    for (_, table) in tables(view) {
        for field in LakeTableProvider::new(Arc::clone(table), ObjectStoreUrl::local_filesystem()).schema().fields() {
            if fields.iter().all(|f| f.name() != field.name()) {
                fields.push(Field::new(field.name(), field.data_type().clone(), true));
            }
        }
    }
    if fields.len() == 1 {
        fields.extend(["table", "transform", "plugin_version", "error", "position"].map(|n| optional(n, DataType::Utf8)));
        fields.push(optional("commit_ts", time()));
        fields.extend(["op", "row"].map(|n| optional(n, DataType::Utf8)));
    }
    schema_of(fields)
}

/// `system.dead_letters`: the rows no transform could take, of all sources. A view, so filters and limits reach the files.
pub(super) fn provider(view: &Arc<LakeView>, store: &ObjectStoreUrl) -> Result<Arc<dyn TableProvider>> {
    let schema = schema(view);
    let mut all: Option<LogicalPlanBuilder> = None;
    for (source, table) in tables(view) {
        let plan = one(source, table, &schema, store)?;
        all = Some(match all {
            None => LogicalPlanBuilder::from(plan),
            Some(before) => before.union(plan)?,
        });
    }
    let plan = match all {
        Some(plan) => plan.build()?,
        None => {
            let columns = schema.fields().iter().map(|f| Ok(lit(ScalarValue::try_from(f.data_type())?).alias(f.name())));
            let columns = columns.collect::<Result<Vec<Expr>>>()?;
            LogicalPlanBuilder::empty(true).project(columns)?.filter(lit(false))?.build()?
        }
    };
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn one(source: &str, table: &Arc<TableView>, schema: &SchemaRef, store: &ObjectStoreUrl) -> Result<LogicalPlan> {
    let provider = Arc::new(LakeTableProvider::new(Arc::clone(table), store.clone()));
    let name = TableReference::partial(Layer::Bronze.as_str(), table.table.name.clone());
    let has = provider.schema();
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let expr = match has.index_of(field.name()) {
            _ if i == 0 => lit(source),
            Ok(_) => cast(Expr::Column(Column::new(Some(name.clone()), field.name())), field.data_type().clone()),
            Err(_) => lit(ScalarValue::try_from(field.data_type())?),
        };
        Ok(expr.alias(field.name()))
    });
    let columns = columns.collect::<Result<Vec<Expr>>>()?;
    LogicalPlanBuilder::scan(name.clone(), provider_as_source(provider), None)?.project(columns)?.build()
}
