use crate::{
    failure::Failure,
    plan::Plan,
    unpack::{Answer, AnswerColumn},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, new_null_array},
    buffer::BooleanBuffer,
    compute::{filter_record_batch, kernels::zip::zip},
    error::ArrowError,
};
use model::{ChangeBatch, ChangeError, Op};
use std::{collections::BTreeMap, sync::Arc};

/// What became of the rows of one call.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Rows that go on, if any.
    pub batch: Option<ChangeBatch>,
    /// Rows that the plugin refused, by index, and why.
    pub failed: BTreeMap<usize, Failure>,
    /// Rows that the plugin left out on purpose.
    pub dropped: usize,
}

/// Puts a checked answer together with the batch it is for. With `pass`, refused rows go on as they came.
///
/// # Errors
/// Where Arrow can't; a checked answer gives it no reason to.
pub(crate) fn settle(plan: &Plan, batch: &ChangeBatch, answer: Answer, pass: bool) -> Result<Settled, String> {
    let rows = batch.rows();
    let mut failed = BTreeMap::new();
    for (row, message) in answer.errors {
        failed.entry(row).or_insert(Failure::Refused(message));
    }
    let mut columns = Vec::with_capacity(plan.types.len());
    for column in answer.columns {
        columns.push(match column {
            AnswerColumn::Same(i) => (Arc::clone(rows.column(i)), true),
            AnswerColumn::New(array) => (array, false),
        });
    }
    refuse_lost_keys(plan, batch, &columns, &mut failed);
    let refused = (!failed.is_empty()).then(|| bits(rows.num_rows(), failed.keys().copied()));
    let mut arrays = Vec::with_capacity(rows.num_columns());
    for (i, (array, same)) in columns.into_iter().enumerate() {
        arrays.push(match &refused {
            Some(refused) if pass && !same => {
                let as_it_came = Arc::clone(rows.column(i));
                zip(&BooleanArray::new(refused.clone(), None), &as_it_came, &array).map_err(|e| e.to_string())?
            }
            _ => array,
        });
    }
    let kept =
        if pass { &answer.keep.map(|k| refused.as_ref().map_or(k.clone(), |r| &k | r)) } else { &both(answer.keep, refused) };
    let staying = kept.as_ref().map_or(rows.num_rows(), BooleanBuffer::count_set_bits);
    let dropped = rows.num_rows() - staying - if pass { 0 } else { failed.len() };
    let batch = if staying == 0 { None } else { Some(assemble(plan, batch, arrays, kept.as_ref()).map_err(|e| e.to_string())?) };
    Ok(Settled { batch, failed, dropped })
}

/// Truncates under the plan's shape: they carry no values, and no plugin ever sees one, so none can lose one.
///
/// # Errors
/// Where Arrow can't.
pub(crate) fn without_values(plan: &Plan, batch: &ChangeBatch) -> Result<ChangeBatch, ChangeError> {
    let mut columns: Vec<ArrayRef> = plan.types.iter().map(|t| new_null_array(t, batch.num_rows())).collect();
    columns.extend_from_slice(&batch.rows().columns()[batch.data_width()..]);
    ChangeBatch::try_new(Arc::clone(&plan.output), columns)
}

/// Runs of a batch that are truncates, and runs that are not, in order: `(offset, length, is truncates)`.
pub(crate) fn runs(batch: &ChangeBatch) -> Vec<(usize, usize, bool)> {
    let rows = batch.num_rows();
    let ops = batch.rows().column(batch.data_width()).as_string::<i32>();
    let letter = Op::Truncate.code();
    if !(0..rows).any(|row| ops.value(row) == letter) {
        return if rows == 0 { Vec::new() } else { vec![(0, rows, false)] };
    }
    let mut runs: Vec<(usize, usize, bool)> = Vec::new();
    for row in 0..rows {
        let truncate = ops.value(row) == letter;
        match runs.last_mut() {
            Some((_, length, kind)) if *kind == truncate => *length += 1,
            _ => runs.push((row, 1, truncate)),
        }
    }
    runs
}

fn refuse_lost_keys(plan: &Plan, batch: &ChangeBatch, columns: &[(ArrayRef, bool)], failed: &mut BTreeMap<usize, Failure>) {
    for (out, from) in &plan.key {
        let Some((array, false)) = columns.get(*out) else { continue };
        let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) else { continue };
        let before = batch.rows().column(*from);
        for row in (0..array.len()).filter(|row| nulls.is_null(*row) && before.is_valid(*row)) {
            let name = plan.names.get(*out).map_or("", String::as_str);
            failed.entry(row).or_insert_with(|| Failure::Lied(format!("it makes `{name}` NULL, which is part of the key")));
        }
    }
}

fn both(keep: Option<BooleanBuffer>, refused: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (keep, refused) {
        (Some(keep), Some(refused)) => Some(&keep & &!&refused),
        (None, Some(refused)) => Some(!&refused),
        (keep, None) => keep,
    }
}

fn bits(rows: usize, set: impl Iterator<Item = usize>) -> BooleanBuffer {
    let mut flags = vec![false; rows];
    for row in set {
        if let Some(flag) = flags.get_mut(row) {
            *flag = true;
        }
    }
    BooleanBuffer::from(flags)
}

fn assemble(
    plan: &Plan,
    batch: &ChangeBatch,
    mut columns: Vec<ArrayRef>,
    kept: Option<&BooleanBuffer>,
) -> Result<ChangeBatch, Box<dyn std::error::Error>> {
    let change = &batch.rows().columns()[batch.data_width()..];
    columns.extend_from_slice(change);
    if let (Some(renamed), Some(last)) = (&plan.renamed, columns.last_mut()) {
        *last = rename_unchanged(plan, renamed, last);
    }
    let whole = ChangeBatch::try_new(Arc::clone(&plan.output), columns)?;
    match kept {
        Some(kept) if kept.count_set_bits() < whole.num_rows() => {
            let rows = filter_record_batch(whole.rows(), &BooleanArray::new(kept.clone(), None))?;
            Ok(ChangeBatch::from_batch(Arc::clone(&plan.output), rows)?)
        }
        _ => Ok(whole),
    }
}

/// `_unchanged` names columns of the input; behind a plugin that renames, it must name those of the output.
fn rename_unchanged(plan: &Plan, renamed: &[Vec<String>], unchanged: &ArrayRef) -> ArrayRef {
    let before = unchanged.as_string::<i32>();
    if before.null_count() == before.len() {
        return Arc::clone(unchanged);
    }
    let rename = |text: &str| {
        let names: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        let outs = names.iter().filter_map(|n| plan.input.index_of(n).and_then(|i| renamed.get(i))).flatten();
        let outs: Vec<&String> = outs.collect();
        (!outs.is_empty()).then(|| serde_json::to_string(&outs).ok()).flatten()
    };
    Arc::new(before.iter().map(|text| text.and_then(rename)).collect::<StringArray>())
}

/// Puts batches of one shape back together.
///
/// # Errors
/// Where Arrow can't.
pub(crate) fn join(plan: &Plan, batches: Vec<ChangeBatch>) -> Result<Option<ChangeBatch>, ArrowError> {
    let mut batches = batches.into_iter();
    let Some(first) = batches.next() else { return Ok(None) };
    let mut all = vec![first];
    all.extend(batches);
    if let [_] = all.as_slice() {
        return Ok(all.pop());
    }
    let rows = arrow::compute::concat_batches(&plan.output.batch_schema(), all.iter().map(ChangeBatch::rows))?;
    ChangeBatch::from_batch(Arc::clone(&plan.output), rows).map(Some).map_err(|e| ArrowError::ExternalError(Box::new(e)))
}
