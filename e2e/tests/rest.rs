//! The Iceberg REST catalog: the protocol as its specification describes it, and who is let in and refused.

use anyhow::{Context, Result, ensure};
use e2e::{Engine, Lakebox, Project, S3, until};
use reqwest::{Method, header};
use serde_json::{Value, json};
use std::time::Duration;

const BANK: &str = "sources:\n  bank:\n    type: simulator\n    rate: 50\n    customers: 40\n    commit: { every: 200ms }\n";

/// The catalog, as a client without a library sees it.
struct Rest {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer: status, headers, and the body where it is JSON.
struct Answer {
    status: u16,
    etag: Option<String>,
    body: Value,
}

impl Rest {
    fn new(lakebox: &Lakebox) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { client, base: format!("{}/iceberg/v1", lakebox.url()), token: None })
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Answer> {
        self.call_with(method, path, body, None).await
    }

    async fn call_with(&self, method: Method, path: &str, body: Value, if_none_match: Option<&str>) -> Result<Answer> {
        let mut request = self.client.request(method, format!("{}/{path}", self.base));
        if !body.is_null() {
            request = request.json(&body);
        }
        if let Some(tag) = if_none_match {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        let etag = answer.headers().get(header::ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).with_context(|| text.clone())? };
        Ok(Answer { status, etag, body })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, Value::Null).await
    }

    /// Asks and insists on the status.
    async fn must(&self, status: u16, method: Method, path: &str, body: Value) -> Result<Value> {
        let answer = self.call(method.clone(), path, body).await?;
        ensure!(answer.status == status, "{method} {path}: {} instead of {status}: {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// Asks and insists on an error of the specification's form.
    async fn refused(&self, status: u16, kind: &str, method: Method, path: &str, body: Value) -> Result<String> {
        let body = self.must(status, method.clone(), path, body).await?;
        let error = &body["error"];
        ensure!(error["type"] == kind && error["code"] == status, "{method} {path}: {body}");
        Ok(error["message"].as_str().context("a message")?.to_owned())
    }

    /// The text of an answer to a client that would take credentials.
    async fn delegated(&self, path: &str) -> Result<String> {
        let request =
            self.client.get(format!("{}/{path}", self.base)).header("x-iceberg-access-delegation", "vended-credentials");
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    async fn token(&self, form: &'static str) -> Result<Answer> {
        let request = self.client.post(format!("{}/oauth/tokens", self.base));
        let answer = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form).send().await?;
        Ok(Answer { status: answer.status().as_u16(), etag: None, body: answer.json().await? })
    }
}

fn table(name: &str) -> Value {
    let field = |id: i32, name: &str| json!({"id": id, "name": name, "required": false, "type": "long"});
    json!({"name": name, "schema": {"type": "struct", "schema-id": 0, "fields": [field(1, "id"), field(2, "n")]}})
}

fn add_property(key: &str, value: &str) -> Value {
    json!({"requirements": [], "updates": [{"action": "set-properties", "updates": {key: value}}]})
}

#[tokio::test]
async fn the_protocol_is_spoken_as_its_specification_describes_it() -> Result<()> {
    let project = Project::new("")?;
    let lakebox = project.serve().await?;
    let rest = Rest::new(&lakebox)?;
    let config = rest.must(200, Method::GET, "config?warehouse=anything", Value::Null).await?;
    let endpoints = config["endpoints"].as_array().context("endpoints")?;
    ensure!(endpoints.contains(&json!("POST /v1/{prefix}/transactions/commit")), "{config}");
    namespaces(&rest).await?;
    tables(&rest, &lakebox).await?;
    commits(&rest).await?;
    views(&rest).await?;
    let nothing = rest.refused(404, "NotFoundException", Method::GET, "nothing/here", Value::Null).await?;
    ensure!(nothing.contains("/iceberg/v1/nothing/here"), "{nothing}");
    rest.refused(405, "UnsupportedOperationException", Method::PUT, "config", Value::Null).await?;
    lakebox.terminate().await
}

async fn namespaces(rest: &Rest) -> Result<()> {
    for name in ["one", "two", "three"] {
        rest.must(200, Method::POST, "namespaces", json!({"namespace": [name], "properties": {"owner": "ann"}})).await?;
    }
    let again = json!({"namespace": ["one"]});
    rest.refused(409, "AlreadyExistsException", Method::POST, "namespaces", again).await?;
    for bad in [json!(["a", "b"]), json!(["Upper"]), json!(["system"]), json!([])] {
        rest.refused(400, "BadRequestException", Method::POST, "namespaces", json!({"namespace": bad})).await?;
    }
    let all = rest.get("namespaces").await?.body;
    ensure!(all["namespaces"] == json!([["bronze"], ["gold"], ["one"], ["silver"], ["three"], ["two"]]), "{all}");
    let first = rest.get("namespaces?pageSize=4&pageToken=").await?.body;
    ensure!(first["namespaces"].as_array().map(Vec::len) == Some(4), "{first}");
    let token = first["next-page-token"].as_str().context("a token")?;
    let second = rest.get(&format!("namespaces?pageSize=4&pageToken={token}")).await?.body;
    ensure!(second == json!({"namespaces": [["three"], ["two"]], "next-page-token": null}), "{second}");
    ensure!(rest.get("namespaces?parent=one").await?.body["namespaces"] == json!([]));
    rest.refused(404, "NoSuchNamespaceException", Method::GET, "namespaces?parent=none", Value::Null).await?;

    rest.must(204, Method::HEAD, "namespaces/one", Value::Null).await?;
    rest.must(404, Method::HEAD, "namespaces/none", Value::Null).await?;
    rest.refused(404, "NoSuchNamespaceException", Method::GET, "namespaces/a%1Fb", Value::Null).await?;
    let change = json!({"removals": ["owner", "absent"], "updates": {"team": "bi"}});
    let done = rest.must(200, Method::POST, "namespaces/one/properties", change).await?;
    ensure!(done == json!({"updated": ["team"], "removed": ["owner"], "missing": ["absent"]}), "{done}");
    let both = json!({"removals": ["team"], "updates": {"team": "x"}});
    rest.refused(422, "UnprocessableEntityException", Method::POST, "namespaces/one/properties", both).await?;
    let properties = rest.get("namespaces/one").await?.body["properties"].clone();
    ensure!(properties["team"] == "bi" && properties["owner"].is_null(), "{properties}");
    rest.must(204, Method::DELETE, "namespaces/three", Value::Null).await?;
    rest.refused(404, "NoSuchNamespaceException", Method::DELETE, "namespaces/three", Value::Null).await?;
    rest.refused(403, "ForbiddenException", Method::DELETE, "namespaces/silver", Value::Null).await?;
    Ok(())
}

async fn tables(rest: &Rest, lakebox: &Lakebox) -> Result<()> {
    let at = "namespaces/one/tables";
    let made = rest.must(200, Method::POST, at, table("t")).await?;
    ensure!(made["metadata"]["current-schema-id"] == 0 && made["metadata-location"].is_string(), "{made}");
    // Seen in SQL at once.
    ensure!(lakebox.sql("select count(*) from one.t").await?[0][0] == 0);
    rest.refused(409, "AlreadyExistsException", Method::POST, at, table("t")).await?;
    rest.refused(404, "NoSuchNamespaceException", Method::POST, "namespaces/none/tables", table("t")).await?;
    rest.refused(400, "BadRequestException", Method::POST, at, json!({"name": "x"})).await?;
    rest.refused(400, "BadRequestException", Method::POST, at, table("no name")).await?;
    rest.refused(403, "ForbiddenException", Method::POST, "namespaces/gold/tables", table("t")).await?;
    rest.must(200, Method::POST, at, table("u")).await?;
    let page = rest.get("namespaces/one/tables?pageSize=1&pageToken=").await?.body;
    ensure!(page["identifiers"] == json!([{"namespace": ["one"], "name": "t"}]) && page["next-page-token"] == "t", "{page}");

    rest.must(204, Method::HEAD, "namespaces/one/tables/t", Value::Null).await?;
    rest.must(404, Method::HEAD, "namespaces/one/tables/none", Value::Null).await?;
    rest.refused(404, "NoSuchTableException", Method::GET, "namespaces/one/tables/none", Value::Null).await?;
    // Clients look for metadata tables like this and must not be told of the namespace.
    rest.refused(404, "NoSuchTableException", Method::GET, "namespaces/one%1Ft/tables/files", Value::Null).await?;
    let loaded = rest.get("namespaces/one/tables/t").await?;
    let tag = loaded.etag.context("an ETag")?;
    let same = rest.call_with(Method::GET, "namespaces/one/tables/t", Value::Null, Some(&tag)).await?;
    ensure!(same.status == 304 && same.body.is_null());
    let refs = rest.call_with(Method::GET, "namespaces/one/tables/t?snapshots=refs", Value::Null, Some(&tag)).await?;
    ensure!(refs.status == 200, "another choice of snapshots is another answer");
    rest.refused(400, "BadRequestException", Method::GET, "namespaces/one/tables/t?snapshots=some", Value::Null).await?;
    rest.must(200, Method::POST, "namespaces/one/tables/t", add_property("a", "b")).await?;
    let changed = rest.call_with(Method::GET, "namespaces/one/tables/t", Value::Null, Some(&tag)).await?;
    ensure!(changed.status == 200 && changed.body["metadata"]["properties"]["a"] == "b");
    rest.must(204, Method::POST, "namespaces/one/tables/t/metrics", json!({"report-type": "scan-report"})).await?;
    ensure!(rest.get("namespaces/one/tables/t/credentials").await?.body == json!({"storage-credentials": []}));

    let named = |namespace: &str, name: &str| json!({"namespace": [namespace], "name": name});
    let rename = |to: Value| json!({"source": named("one", "u"), "destination": to});
    rest.refused(409, "AlreadyExistsException", Method::POST, "tables/rename", rename(named("one", "t"))).await?;
    rest.refused(404, "NoSuchNamespaceException", Method::POST, "tables/rename", rename(named("none", "t"))).await?;
    rest.must(204, Method::POST, "tables/rename", rename(named("two", "moved"))).await?;
    ensure!(lakebox.sql("select count(*) from two.moved").await?[0][0] == 0);
    rest.refused(404, "NoSuchTableException", Method::POST, "tables/rename", rename(named("two", "x"))).await?;

    let location = rest.get("namespaces/two/tables/moved").await?.body["metadata-location"].clone();
    rest.must(204, Method::DELETE, "namespaces/two/tables/moved", Value::Null).await?;
    let register = json!({"name": "back", "metadata-location": location});
    rest.must(200, Method::POST, "namespaces/two/register", register.clone()).await?;
    rest.refused(409, "AlreadyExistsException", Method::POST, "namespaces/two/register", register).await?;
    rest.refused(409, "NamespaceNotEmptyException", Method::DELETE, "namespaces/two", Value::Null).await?;
    rest.must(204, Method::DELETE, "namespaces/two/tables/back?purgeRequested=true", Value::Null).await?;
    rest.refused(404, "NoSuchTableException", Method::DELETE, "namespaces/two/tables/back", Value::Null).await?;
    let gone = json!({"name": "back", "metadata-location": location});
    rest.refused(400, "BadRequestException", Method::POST, "namespaces/two/register", gone).await?;
    Ok(())
}

async fn commits(rest: &Rest) -> Result<()> {
    rest.must(200, Method::POST, "namespaces/one/tables", table("v")).await?;
    let of = |name: &str, requirements: Value, key: &str| {
        let updates = json!([{"action": "set-properties", "updates": {key: "1"}}]);
        json!({"identifier": {"namespace": ["one"], "name": name}, "requirements": requirements, "updates": updates})
    };
    let wrong = json!([{"type": "assert-table-uuid", "uuid": "00000000-0000-0000-0000-000000000000"}]);
    let both = json!({"table-changes": [of("t", json!([]), "first"), of("v", wrong.clone(), "first")]});
    let message = rest.refused(409, "CommitFailedException", Method::POST, "transactions/commit", both).await?;
    ensure!(message.contains("one.v"), "{message}");
    let property = async |name: &str, key: &str| -> Result<Value> {
        Ok(rest.get(&format!("namespaces/one/tables/{name}")).await?.body["metadata"]["properties"][key].clone())
    };
    ensure!(property("t", "first").await?.is_null(), "half a transaction was made visible");
    let good = json!({"table-changes": [of("t", json!([]), "second"), of("v", json!([]), "second")]});
    rest.must(204, Method::POST, "transactions/commit", good).await?;
    ensure!(property("t", "second").await? == "1" && property("v", "second").await? == "1");
    let missing = json!({"table-changes": [of("t", json!([]), "third"), of("none", json!([]), "third")]});
    rest.refused(404, "NoSuchTableException", Method::POST, "transactions/commit", missing).await?;
    ensure!(property("t", "third").await?.is_null());
    let unknown = json!({"requirements": [], "updates": [{"action": "add-wings"}]});
    rest.refused(400, "BadRequestException", Method::POST, "namespaces/one/tables/t", unknown).await?;
    let conflict = json!({"requirements": wrong, "updates": []});
    rest.refused(409, "CommitFailedException", Method::POST, "namespaces/one/tables/t", conflict).await?;
    Ok(())
}

async fn views(rest: &Rest) -> Result<()> {
    let view = json!({"name": "seen", "schema": table("x")["schema"], "properties": {"a": "b"}, "view-version": {"version-id": 1, "schema-id": 0,
        "timestamp-ms": 1_800_000_000_000_i64, "summary": {"engine-name": "x"}, "default-namespace": ["one"],
        "representations": [{"type": "sql", "sql": "select id, n from t", "dialect": "spark"}]}});
    let at = "namespaces/one/views";
    let made = rest.must(200, Method::POST, at, view.clone()).await?;
    ensure!(made["metadata"]["versions"][0]["representations"][0]["sql"] == "select id, n from t", "{made}");
    rest.refused(409, "AlreadyExistsException", Method::POST, at, view).await?;
    ensure!(rest.get(at).await?.body["identifiers"] == json!([{"namespace": ["one"], "name": "seen"}]));
    rest.must(204, Method::HEAD, "namespaces/one/views/seen", Value::Null).await?;
    rest.refused(404, "NoSuchViewException", Method::GET, "namespaces/one/views/none", Value::Null).await?;
    let uuid = made["metadata"]["view-uuid"].clone();
    let change = |uuid: Value| {
        json!({"requirements": [{"type": "assert-view-uuid", "uuid": uuid}],
            "updates": [{"action": "set-properties", "updates": {"a": "c"}}]})
    };
    let other = json!("00000000-0000-0000-0000-000000000000");
    rest.refused(409, "CommitFailedException", Method::POST, "namespaces/one/views/seen", change(other)).await?;
    let changed = rest.must(200, Method::POST, "namespaces/one/views/seen", change(uuid)).await?;
    ensure!(changed["metadata"]["properties"]["a"] == "c", "{changed}");
    let named = |name: &str| json!({"namespace": ["one"], "name": name});
    rest.must(204, Method::POST, "views/rename", json!({"source": named("seen"), "destination": named("looked")})).await?;
    rest.must(404, Method::HEAD, "namespaces/one/views/seen", Value::Null).await?;
    rest.must(204, Method::DELETE, "namespaces/one/views/looked", Value::Null).await?;
    rest.refused(404, "NoSuchViewException", Method::DELETE, "namespaces/one/views/looked", Value::Null).await?;
    Ok(())
}

#[tokio::test]
async fn with_clients_in_the_configuration_only_they_get_in() -> Result<()> {
    let mut project = Project::new("")?;
    project.in_server("iceberg: { clients: [{ id: spark, secret: \"a long secret\" }, { id: duck, secret: another1 }] }")?;
    let lakebox = project.serve().await?;
    let mut rest = Rest::new(&lakebox)?;
    let message = rest.refused(401, "NotAuthorizedException", Method::GET, "config", Value::Null).await?;
    ensure!(message.contains("oauth/tokens"), "{message}");
    rest.refused(401, "NotAuthorizedException", Method::GET, "namespaces", Value::Null).await?;
    for form in [
        "grant_type=client_credentials&client_id=spark&client_secret=another1",
        "grant_type=client_credentials&client_id=nobody&client_secret=x",
        "grant_type=client_credentials",
    ] {
        let answer = rest.token(form).await?;
        ensure!(answer.status == 401 && answer.body["error"] == "invalid_client", "{}", answer.body);
    }
    ensure!(rest.token("grant_type=password").await?.body["error"] == "unsupported_grant_type");
    let granted = rest.token("grant_type=client_credentials&client_id=spark&client_secret=a+long+secret&scope=catalog").await?;
    ensure!(
        granted.status == 200 && granted.body["token_type"] == "bearer" && granted.body["expires_in"] == 3600,
        "{}",
        granted.body
    );
    rest.token = granted.body["access_token"].as_str().map(str::to_owned);
    rest.must(200, Method::GET, "config", Value::Null).await?;
    rest.must(200, Method::POST, "namespaces", json!({"namespace": ["own"]})).await?;
    rest.token = Some("lb1.00.99999999999.00".to_owned());
    rest.refused(401, "NotAuthorizedException", Method::GET, "namespaces", Value::Null).await?;

    // Real clients, with credentials and without.
    for name in ["pyiceberg", "duckdb"] {
        let credential = if name == "duckdb" { "duck:another1" } else { "spark:a long secret" };
        let mut engine = Engine::start(name, &lakebox, Some(credential)).await.with_context(|| name)?;
        let own = format!("own.{name}");
        engine.tell("create", json!({"table": own})).await?;
        engine.tell("append", json!({"table": own, "first": 1, "last": 5})).await?;
        ensure!(lakebox.sql(&format!("select count(*) from {own}")).await?[0][0] == 5);
        ensure!(Engine::start(name, &lakebox, Some("spark:wrong")).await.is_err(), "{name} got in with a wrong secret");
        ensure!(Engine::start(name, &lakebox, None).await.is_err(), "{name} got in without credentials");
    }
    let log = lakebox.log()?;
    ensure!(!log.contains("a long secret") && !log.contains("another1"), "a secret is in the log");
    lakebox.terminate().await
}

#[tokio::test]
async fn what_a_pipeline_keeps_can_be_read_but_not_changed() -> Result<()> {
    let project = Project::new(BANK)?;
    let lakebox = project.serve().await?;
    lakebox.streams("bank").await?;
    until("rows in silver", Duration::from_secs(60), || async {
        let rows = lakebox.get("/api/v1/tables/silver/bank_customers").await?;
        Ok(rows["metadata_location"].is_string().then_some(()))
    })
    .await?;
    let mut duckdb = Engine::start("duckdb", &lakebox, None).await?;
    let mut pyiceberg = Engine::start("pyiceberg", &lakebox, None).await?;
    let wanted = ["the pipeline `bank`", "analytics"];
    for engine in [&mut duckdb, &mut pyiceberg] {
        let read = json!({"table": "silver.bank_customers", "columns": ["id", "name"], "moving": true});
        let rows = engine.tell("rows", read).await?;
        ensure!(rows.as_array().is_some_and(|r| !r.is_empty()), "{} reads no rows", engine.name());
        for what in ["delete", "evolve"] {
            let refused = engine.tell(what, json!({"table": "silver.bank_customers"})).await;
            let Err(error) = refused else { anyhow::bail!("{} could {what} in silver", engine.name()) };
            let text = format!("{error:#}");
            ensure!(wanted.iter().all(|w| text.contains(w)), "{text}");
        }
    }
    // What says nothing of rows and columns may be set, and the pipeline goes on.
    let rest = Rest::new(&lakebox)?;
    rest.must(200, Method::POST, "namespaces/silver/tables/bank_customers", add_property("comment", "ours")).await?;
    let keyed = add_property("lakebox.key", "[]");
    rest.refused(403, "ForbiddenException", Method::POST, "namespaces/silver/tables/bank_customers", keyed).await?;
    let before = lakebox.pipeline("bank").await?.rows_total;
    until("more rows", Duration::from_secs(60), || async {
        let bank = lakebox.pipeline("bank").await?;
        ensure!(bank.last_error.is_none(), "{bank:?}");
        Ok((bank.rows_total > before + 50).then_some(()))
    })
    .await?;
    let kept = rest.get("namespaces/silver/tables/bank_customers").await?.body;
    ensure!(kept["metadata"]["properties"]["comment"] == "ours", "the pipeline's commits lost a property");
    lakebox.terminate().await
}

#[tokio::test]
async fn over_a_bucket_engines_are_told_how_to_reach_it_and_given_credentials_only_where_that_is_wanted() -> Result<()> {
    let s3 = S3::start(7).await?;
    s3.make_bucket("lake").await?;
    let project = Project::new(&s3.settings("lake"))?;
    let lakebox = project.serve().await?;
    let rest = Rest::new(&lakebox)?;
    rest.must(200, Method::POST, "namespaces", json!({"namespace": ["own"]})).await?;
    rest.must(200, Method::POST, "namespaces/own/tables", table("t")).await?;
    let asked = rest.delegated("namespaces/own/tables/t").await?;
    ensure!(!asked.contains(S3::SECRET), "credentials were given away unasked: {asked}");
    let told: Value = serde_json::from_str(&asked)?;
    let storage = &told["config"];
    ensure!(storage["s3.path-style-access"] == "true" && storage["client.region"] == "us-east-1", "{storage}");
    ensure!(storage["s3.endpoint"].as_str().is_some_and(|e| e.starts_with("http://127.0.0.1:")), "{storage}");
    lakebox.terminate().await?;

    let mut project = project;
    project.in_server("iceberg: { vend_credentials: true }")?;
    let lakebox = project.serve().await?;
    let rest = Rest::new(&lakebox)?;
    ensure!(rest.delegated("namespaces/own/tables/t").await?.contains(S3::SECRET));
    ensure!(
        !rest.get("namespaces/own/tables/t").await?.body.to_string().contains(S3::SECRET),
        "a client that did not ask was given them"
    );
    for name in ["pyiceberg", "duckdb"] {
        let mut engine = Engine::start(name, &lakebox, None).await.with_context(|| name)?;
        let own = format!("own.{name}");
        engine.tell("create", json!({"table": own})).await?;
        engine.tell("append", json!({"table": own, "first": 1, "last": 10})).await?;
        engine.tell("delete", json!({"table": own})).await?;
        let rows = engine.rows(&own, &["id", "name"]).await?;
        ensure!(rows.len() == 8, "{name} reads {rows:?}");
        ensure!(lakebox.sql(&format!("select count(*) from {own}")).await?[0][0] == 8);
    }
    ensure!(!lakebox.log()?.contains(S3::SECRET), "a secret is in the log");
    lakebox.terminate().await
}
