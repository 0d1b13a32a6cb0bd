use super::{Moment, former, moment, state};
use crate::{
    Error, Kind,
    provider::LakeTableProvider,
    system::{required, time},
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider},
    common::ScalarValue,
    datasource::{TableType, ViewTable, provider_as_source},
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{LogicalPlanBuilder, col, lit},
    physical_expr::{
        PhysicalExpr,
        expressions::{Column, Literal},
    },
    physical_plan::{ExecutionPlan, empty::EmptyExec, projection::ProjectionExec, union::UnionExec},
    prelude::Expr,
};
use lake::{Lake, LakeView, SnapshotPoint, TableState, TableView, ViewFile};
use model::{COMMIT_TS, LakeTable, Layer, OP, Op, POS, Position, SEQ};
use roaring::RoaringBitmap;
use std::{collections::HashMap, fmt, sync::Arc};

/// Name of the column that says which snapshot a change came with.
const SNAPSHOT_ID: &str = "_snapshot_id";

/// `table_changes('silver.t', from, to)`: the changes after one moment of a table, up to and including another. A moment is a snapshot's id, the
/// name of a tag or branch, a time, or a position of the source; NULL or nothing is the beginning, or now.
pub(crate) struct TableChanges {
    pub lake: Lake,
    pub view: Arc<LakeView>,
    pub store: ObjectStoreUrl,
}

impl fmt::Debug for TableChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableChanges")
    }
}

impl TableFunctionImpl for TableChanges {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        self.call(args.exprs()).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

impl TableChanges {
    fn call(&self, arguments: &[Expr]) -> std::result::Result<Arc<dyn TableProvider>, Error> {
        let usage = || {
            Error::new(Kind::Invalid, "table_changes takes a table's name and up to two moments, all of them literals")
                .with_hint("For example table_changes('silver.shop_orders', '2026-01-31 18:00:00', NULL).")
        };
        let mut texts = Vec::with_capacity(3);
        for argument in arguments {
            let Expr::Literal(value, _) = argument else { return Err(usage()) };
            texts.push(match value {
                _ if value.is_null() => None,
                ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text.clone(),
                ScalarValue::Int64(id) => id.map(|id| id.to_string()),
                _ => return Err(usage()),
            });
        }
        let mut texts = texts.into_iter();
        let (Some(Some(name)), from, to, None) = (texts.next(), texts.next().flatten(), texts.next().flatten(), texts.next())
        else {
            return Err(usage());
        };
        let table = self.find(&name)?;
        let now = state(&self.lake, &table)?;
        let moment = |text: Option<String>| text.map(|t| Moment::guess(&t, &now)).transpose();
        let (from, to) = (moment(from)?, moment(to)?);
        Self::between(&self.lake, &self.view, &self.store, &table, from.as_ref(), to.as_ref())
    }

    fn find(&self, name: &str) -> std::result::Result<LakeTable, Error> {
        let found = match name.parse::<LakeTable>() {
            Ok(table) => Some(table),
            Err(_) => [Layer::Gold, Layer::Silver]
                .into_iter()
                .map(|l| LakeTable::new(l, name))
                .find(|t| self.view.tables.contains_key(t)),
        };
        found.filter(|t| self.view.tables.contains_key(t)).ok_or_else(|| {
            Error::new(Kind::UnknownTable, format!("table `{name}` does not exist"))
                .with_hint("`SELECT * FROM system.tables` lists all tables.")
        })
    }

    /// The changes of `table` after `from`, up to and including `to`.
    ///
    /// A silver table that a source keeps has them in its bronze twin, exactly as the source made them. Of others the snapshots are compared:
    /// a row that was rewritten shows as a deleted and a created one, and what upkeep rewrites shows not at all.
    pub(super) fn between(
        lake: &Lake,
        view: &Arc<LakeView>,
        store: &ObjectStoreUrl,
        table: &LakeTable,
        from: Option<&Moment>,
        to: Option<&Moment>,
    ) -> std::result::Result<Arc<dyn TableProvider>, Error> {
        let now = state(lake, table)?;
        let points = now.points();
        let resolve = |m: Option<&Moment>| m.map(|m| m.resolve(&now)).transpose();
        let (from, to) = (resolve(from)?, resolve(to)?);
        let point = |id: i64| points.iter().find(|p| p.id == id);
        let last = match to {
            Some(id) => point(id),
            None => now.view().snapshot_id.and_then(point),
        };
        let Some(last) = last else { return Err(Error::new(Kind::Invalid, format!("{table} has no snapshot yet"))) };
        let twin = LakeTable::new(Layer::Bronze, table.name.clone());
        let bronze = view.tables.get(&twin).filter(|b| table.layer == Layer::Silver && b.schema.field_with_name(POS).is_ok());
        if let (Some(bronze), Some(until)) = (bronze, moment::cursor(last)) {
            let after = from.and_then(point).and_then(moment::cursor).map(|c| c.position);
            return of_bronze(bronze, store, after, until.position);
        }
        let steps = steps(table, &points, from, last)?;
        let schema = feed_schema(now.schema());
        Ok(Arc::new(Compared {
            lake: lake.clone(),
            table: table.clone(),
            store: store.clone(),
            schema,
            columns: Arc::clone(now.schema()),
            steps,
        }))
    }
}

/// The rows of a bronze table with positions after `after`, up to and including `until`.
fn of_bronze(
    bronze: &Arc<TableView>,
    store: &ObjectStoreUrl,
    after: Option<Position>,
    until: Position,
) -> std::result::Result<Arc<dyn TableProvider>, Error> {
    let long = |n: u64| lit(i64::try_from(n).unwrap_or(i64::MAX));
    let at_most = col(POS).lt(long(until.pos)).or(col(POS).eq(long(until.pos)).and(col(SEQ).lt_eq(long(until.seq))));
    let filter = match after {
        Some(p) => at_most.and(col(POS).gt(long(p.pos)).or(col(POS).eq(long(p.pos)).and(col(SEQ).gt(long(p.seq))))),
        None => at_most,
    };
    let source = provider_as_source(Arc::new(LakeTableProvider::new(Arc::clone(bronze), store.clone())));
    let plan = LogicalPlanBuilder::scan(bronze.table.name.clone(), source, None)?.filter(filter)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The columns of a table, and those that tell what happened.
fn feed_schema(columns: &SchemaRef) -> SchemaRef {
    let plain = columns.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    let added = [required(OP, DataType::Utf8), required(SNAPSHOT_ID, DataType::Int64), required(COMMIT_TS, time())];
    Arc::new(Schema::new(plain.chain(added).collect::<Vec<Field>>()))
}

/// A snapshot and the one it is compared with; nothing for the first of a table.
#[derive(Debug, Clone)]
struct Step {
    former: Option<i64>,
    point: SnapshotPoint,
}

/// The snapshots after `from` up to `last` that changed rows, oldest first.
fn steps(
    table: &LakeTable,
    points: &[SnapshotPoint],
    from: Option<i64>,
    last: &SnapshotPoint,
) -> std::result::Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut next = Some(last);
    while let Some(point) = next.filter(|p| Some(p.id) != from) {
        let parent = point.parent.map(|id| points.iter().find(|p| p.id == id));
        match parent {
            // What this snapshot changed went with the one before it.
            Some(None) if from.is_none() => break,
            Some(None) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!(
                        "the snapshots of {table} between the two moments are not all there any more, or the first is not an ancestor of the second"
                    ),
                ));
            }
            Some(Some(parent)) => {
                // By definition a replace changes files and no rows.
                if point.operation != "replace" {
                    steps.push(Step { former: Some(parent.id), point: point.clone() });
                }
                next = Some(parent);
            }
            None => {
                if from.is_some() {
                    return Err(Error::new(Kind::Invalid, format!("the first moment of {table} is not before the second")));
                }
                steps.push(Step { former: None, point: point.clone() });
                break;
            }
        }
    }
    steps.reverse();
    Ok(steps)
}

/// The change feed of a table that keeps no record of its changes: files and deleted rows of its snapshots, compared.
#[derive(Debug)]
struct Compared {
    lake: Lake,
    table: LakeTable,
    store: ObjectStoreUrl,
    schema: SchemaRef,
    /// The table's own columns, with field ids.
    columns: SchemaRef,
    steps: Vec<Step>,
}

impl Compared {
    /// The rows of `files` under the table's columns of `projection`, with the columns that are the same in all of them.
    async fn rows(
        &self,
        session: &dyn Session,
        projection: &[usize],
        files: Vec<ViewFile>,
        op: Op,
        point: &SnapshotPoint,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let view = TableView {
            table: self.table.clone(),
            schema: Arc::clone(&self.columns),
            key: Vec::new(),
            sort_order: Vec::new(),
            snapshot_id: Some(point.id),
            files: files.into(),
            hot: Arc::default(),
            lookup: None,
        };
        let own: Vec<usize> = projection.iter().copied().filter(|i| *i < self.columns.fields().len()).collect();
        let provider = LakeTableProvider::new(Arc::new(view), self.store.clone());
        let input = provider.scan(session, Some(&own), &[], None).await?;
        let mut place = 0;
        let expressions = projection.iter().map(|&i| {
            let field = self.schema.field(i);
            let expression: Arc<dyn PhysicalExpr> = match field.name().as_str() {
                name if i < self.columns.fields().len() => {
                    place += 1;
                    Arc::new(Column::new(name, place - 1))
                }
                OP => Arc::new(Literal::new(ScalarValue::Utf8View(Some(op.code().to_owned())))),
                SNAPSHOT_ID => Arc::new(Literal::new(ScalarValue::Int64(Some(point.id)))),
                _ => Arc::new(Literal::new(ScalarValue::TimestampMicrosecond(Some(point.at_us), Some("UTC".into())))),
            };
            (expression, field.name().clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(expressions.collect::<Vec<_>>(), input)?))
    }
}

#[async_trait]
impl TableProvider for Compared {
    fn schema(&self) -> SchemaRef {
        crate::provider::reading_schema(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection: Vec<usize> = projection.map_or_else(|| (0..self.schema.fields().len()).collect(), Clone::clone);
        let outside = |e: Error| DataFusionError::External(Box::new(e));
        let mut plans = Vec::new();
        for step in &self.steps {
            let after = former(&self.lake, &self.table, step.point.id).await.map_err(outside)?;
            let before = match step.former {
                Some(id) => Some(former(&self.lake, &self.table, id).await.map_err(outside)?),
                None => None,
            };
            let (created, deleted) = difference(before.as_deref(), &after);
            for (op, files) in [(Op::Delete, deleted), (Op::Create, created)] {
                if !files.is_empty() {
                    plans.push(self.rows(session, &projection, files, op, &step.point).await?);
                }
            }
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(Arc::new(self.schema().project(&projection)?)))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}

/// The rows that are only in `after`, and those that are only in `before`, as files that hide all others.
fn difference(before: Option<&TableState>, after: &TableState) -> (Vec<ViewFile>, Vec<ViewFile>) {
    let none = RoaringBitmap::new();
    let old: HashMap<_, &ViewFile> = before.into_iter().flat_map(|b| b.files().iter()).map(|f| (&f.path, f)).collect();
    let (mut created, mut deleted) = (Vec::new(), Vec::new());
    for file in after.files().iter() {
        let Some(former) = old.get(&file.path) else {
            created.push(file.clone());
            continue;
        };
        let (then, now) = (former.deleted.as_deref().unwrap_or(&none), file.deleted.as_deref().unwrap_or(&none));
        created.extend(only(file, &(then - now)));
        deleted.extend(only(file, &(now - then)));
    }
    deleted.extend(old.into_values().filter(|f| after.file(&f.path).is_none()).cloned());
    let live = |f: &ViewFile| f.rows > f.deleted.as_ref().map_or(0, |d| d.len());
    created.retain(live);
    deleted.retain(live);
    created.sort_by(|a, b| a.path.cmp(&b.path));
    deleted.sort_by(|a, b| a.path.cmp(&b.path));
    (created, deleted)
}

/// `file` with nothing but `rows` to see.
fn only(file: &ViewFile, rows: &RoaringBitmap) -> Option<ViewFile> {
    if rows.is_empty() {
        return None;
    }
    let mut hidden = RoaringBitmap::new();
    hidden.insert_range(0..u32::try_from(file.rows).unwrap_or(u32::MAX));
    hidden -= rows;
    Some(ViewFile { deleted: Some(Arc::new(hidden)), ..file.clone() })
}
