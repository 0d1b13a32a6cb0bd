use super::{Problem, Schedule, tables::tables_in};
use lake::PartitionField;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, value::Kwargs};
use model::{LakeTable, Layer, TableId, lake_name};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A gold model, ready to run.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name, which is the gold table's.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The file's text.
    pub text: String,
    /// The statement, with `ref()` and `source()` filled in.
    pub sql: String,
    /// What it is about.
    pub description: String,
    /// When it runs.
    pub schedule: Schedule,
    /// How long after the start of a run the next may start when data moves; `None` for the general setting.
    pub debounce: Option<Duration>,
    /// Sort order as (column, descending); empty where unsorted.
    pub sort_order: Vec<(String, bool)>,
    /// How its rows are partitioned; empty where they are not.
    pub partition_by: Vec<PartitionField>,
    /// Columns that identify a row; empty where none are declared.
    pub key: Vec<String>,
    /// Every table that it reads.
    pub upstream: BTreeSet<LakeTable>,
    /// A hash of everything that decides what the table holds.
    pub fingerprint: String,
}

impl Model {
    /// The table it makes.
    pub fn table(&self) -> LakeTable {
        LakeTable::new(Layer::Gold, &self.name)
    }

    /// The statement as it is run: in the declared order, so that the files come out sorted over all.
    pub(crate) fn ordered_sql(&self) -> String {
        let statement = self.sql.trim().trim_end_matches(';').trim_end();
        if self.sort_order.is_empty() {
            return statement.to_owned();
        }
        let column = |(name, descending): &(String, bool)| {
            format!("\"{}\"{}", name.replace('"', "\"\""), if *descending { " desc" } else { "" })
        };
        let columns: Vec<_> = self.sort_order.iter().map(column).collect();
        // The line break keeps a comment at the statement's end from swallowing the bracket.
        format!("select * from (\n{statement}\n) as model order by {}", columns.join(", "))
    }
}

/// What `config(…)` said.
#[derive(Debug, Default)]
struct Said {
    description: Option<String>,
    schedule: Option<Schedule>,
    debounce: Option<Duration>,
    sort_order: Vec<(String, bool)>,
    partition_by: Vec<PartitionField>,
    key: Vec<String>,
}

/// Reads one model. `names` are all models, so that `ref()` can tell an unknown one.
pub(crate) fn render(name: &str, file: &Path, text: &str, names: &BTreeSet<String>) -> Result<Model, Problem> {
    let said: Arc<Mutex<Said>> = Arc::default();
    let sql =
        environment(names, &said).render_named_str(name, text, ()).map_err(|e| Problem::new(file, e.line(), sentence(&e)))?;
    let said = std::mem::take(&mut *said.lock());
    let upstream = tables_in(&sql);
    let sql = sql.trim().to_owned();
    let first = first_statement_word(&sql);
    if !["select", "with", "values"].contains(&first.as_str()) {
        let text = format!("a model is one `select`, but this one begins with `{first}`");
        return Err(Problem::new(file, None, text).with_hint("Write the select alone; lakebox makes the table from its rows."));
    }
    let schedule = said.schedule.unwrap_or(Schedule::OnCommit);
    let mut what = format!("{sql}\u{0}{:?}\u{0}{:?}", said.sort_order, said.key);
    for field in &said.partition_by {
        what.push_str(&format!("\u{0}{field}"));
    }
    Ok(Model {
        name: name.to_owned(),
        file: file.to_owned(),
        text: text.to_owned(),
        description: said.description.unwrap_or_else(|| leading_comment(text)),
        schedule,
        debounce: said.debounce,
        sort_order: said.sort_order,
        partition_by: said.partition_by,
        key: said.key,
        upstream,
        fingerprint: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(what.as_bytes())),
        sql,
    })
}

fn environment(names: &BTreeSet<String>, said: &Arc<Mutex<Said>>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A loop in a template ends.
    environment.set_fuel(Some(100_000));
    let names = names.clone();
    environment.add_function("ref", move |name: String| reference(&names, &name));
    environment.add_function("source", source);
    let said = Arc::clone(said);
    environment.add_function("config", move |options: Kwargs| configure(&mut said.lock(), &options));
    environment
}

fn wrong(text: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, text.into())
}

fn reference(names: &BTreeSet<String>, name: &str) -> Result<String, minijinja::Error> {
    if names.contains(name) {
        return Ok(format!("{}.{name}", Layer::Gold));
    }
    let near = names.iter().min_by_key(|known| distance(known, name)).filter(|known| distance(known, name) <= 3);
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Err(wrong(format!("there is no model `{name}`{hint}")))
}

/// `source('shop', 'orders')`, `source('shop', 'billing.invoices')`, `source('shop', 'orders', layer='bronze')`.
fn source(source: &str, table: &str, options: Kwargs) -> Result<String, minijinja::Error> {
    let layer = options.get::<Option<String>>("layer")?.unwrap_or_else(|| Layer::Silver.to_string());
    options.assert_all_used()?;
    if !["bronze", "silver"].contains(&layer.as_str()) {
        return Err(wrong(format!("a source has tables in bronze and silver, not in `{layer}`")));
    }
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    let lake = lake_name(source, &TableId::new(schema, name));
    let plain = lake.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    Ok(if plain { format!("{layer}.{lake}") } else { format!("{layer}.\"{}\"", lake.replace('"', "\"\"")) })
}

fn configure(said: &mut Said, options: &Kwargs) -> Result<String, minijinja::Error> {
    said.description = options.get("description")?;
    if let Some(schedule) = options.get::<Option<String>>("schedule")? {
        said.schedule = Some(schedule.parse().map_err(wrong)?);
    }
    if let Some(debounce) = options.get::<Option<String>>("debounce")? {
        let wrong_duration = || wrong(format!("debounce `{debounce}` is not a duration such as `500ms`, `30s`, `5m` or `1h`"));
        said.debounce = Some(duration(&debounce).ok_or_else(wrong_duration)?);
    }
    let columns = options.get::<Option<Vec<String>>>("sort_order")?.unwrap_or_default();
    said.sort_order = columns.iter().map(|column| sort_column(column)).collect();
    let fields = options.get::<Option<Vec<String>>>("partition_by")?.unwrap_or_default();
    said.partition_by = fields.iter().map(|field| field.parse().map_err(wrong)).collect::<Result<_, _>>()?;
    said.key = options.get::<Option<Vec<String>>>("key")?.unwrap_or_default();
    options.assert_all_used().map_err(|e| {
        wrong(format!(
            "{}; config takes description, schedule, debounce, sort_order, partition_by and key",
            e.detail().unwrap_or("unknown setting")
        ))
    })?;
    Ok(String::new())
}

/// `day`, `day desc` or `day asc`.
fn sort_column(text: &str) -> (String, bool) {
    let text = text.trim();
    let lower = text.to_lowercase();
    match [" desc", " asc"].iter().find(|end| lower.ends_with(*end)) {
        Some(end) => (text[..text.len() - end.len()].trim().to_owned(), *end == " desc"),
        None => (text.to_owned(), false),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// What the template engine says, without its own classification where ours says it all.
fn sentence(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}

/// The comment lines at a file's top, for models that say in a comment what they are about.
fn leading_comment(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|l| l.is_empty());
    let comment = lines.map_while(|l| l.strip_prefix("--")).map(str::trim);
    comment.collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn first_statement_word(sql: &str) -> String {
    let mut rest = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    loop {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else {
            break;
        };
        rest = rest[skipped..].trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    }
    rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("").to_lowercase()
}

/// Edits from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Model, Problem> {
        let names = ["days", "months"].map(str::to_owned).into();
        render("days", Path::new("models/days.sql"), text, &names)
    }

    #[test]
    fn a_model_says_what_it_is_and_reads() {
        let text = "{{ config(description='By day', schedule='0 * * * *', debounce='30s', sort_order=['day desc', 'kind'], partition_by=['month(day)', 'bucket(8, kind)'], key=['day']) }}\n\
                    select * from {{ source('shop', 'orders') }} join {{ source('shop', 'billing.x', layer='bronze') }} using (id), {{ ref('months') }} -- end";
        let model = read(text).expect("a good model");
        assert_eq!(model.description, "By day");
        assert_eq!(model.schedule.to_string(), "0 * * * *");
        assert_eq!(model.debounce, Some(Duration::from_secs(30)));
        assert_eq!(model.sort_order, [("day".to_owned(), true), ("kind".to_owned(), false)]);
        assert_eq!(model.partition_by.iter().map(ToString::to_string).collect::<Vec<_>>(), ["month(day)", "bucket(8, kind)"]);
        assert_eq!(model.key, ["day"]);
        let upstream: Vec<_> = model.upstream.iter().map(ToString::to_string).collect();
        assert_eq!(upstream, ["bronze.shop_billing_x", "silver.shop_orders", "gold.months"]);
        let ordered = model.ordered_sql();
        assert!(ordered.starts_with("select * from (\nselect"), "{ordered}");
        assert!(ordered.ends_with("-- end\n) as model order by \"day\" desc, \"kind\""), "{ordered}");
    }

    #[test]
    fn a_plain_statement_is_a_model_that_follows_commits() {
        let model = read("-- Orders by day.\n-- For finance.\nselect 1 as x from silver.shop_orders;").expect("a good model");
        assert_eq!(model.description, "Orders by day. For finance.");
        assert!(matches!(model.schedule, Schedule::OnCommit));
        assert!(!model.ordered_sql().ends_with(';'));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let cases = [
            ("select 1\nfrom {{ ref('moths') }}", Some(2), "there is no model `moths`; did you mean `months`?"),
            ("{{ config(schedule='daily') }}\nselect 1", Some(1), "schedule `daily` is neither"),
            ("{{ config(debounce='soon') }}\nselect 1", Some(1), "debounce `soon` is not a duration"),
            ("\n\n{{ config(sorting=['x']) }} select 1", Some(3), "sorting"),
            ("{{ config(partition_by=['week(x)']) }}\nselect 1", Some(1), "`week(x)` is no partition transform"),
            ("select {{ nothing }}", Some(1), "undefined"),
            ("select 1 {{ oops", Some(1), "syntax"),
            ("select * from {{ source('a', 'b', layer='gold') }}", Some(1), "not in `gold`"),
            ("create table x as select 1", None, "begins with `create`"),
        ];
        for (text, line, expected) in cases {
            let problem = read(text).expect_err(text);
            assert_eq!(problem.line, line, "{text}: {problem}");
            assert!(problem.to_string().contains(expected), "{text}: {problem}");
        }
    }
}
