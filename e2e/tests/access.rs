//! Who gets in: users with passwords over the PostgreSQL wire and Flight SQL, in the clear and encrypted.

use crate::clients::PSQL;
use anyhow::{Result, ensure};
use e2e::{Lakebox, Project, python};
use std::{
    path::{Path, PathBuf},
    process::Output,
};
use tokio::process::Command;

const SIMULATOR: &str = "sources:\n  bank: { type: simulator, stop_after: 100 }\n";

/// Runs `select current_user` as a user, with more of a connection string.
async fn psql(lakebox: &Lakebox, user: &str, password: &str, more: &str) -> Result<Output> {
    let connection = format!("host=127.0.0.1 port={} user={user} dbname=lakebox {more}", lakebox.pgwire_port());
    let out = Command::new(PSQL)
        .args([&connection, "-X", "-A", "-t", "-c", "select current_user"])
        .env("PGPASSWORD", password)
        .output()
        .await?;
    Ok(out)
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A certificate for this machine that vouches for itself, and its key.
async fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let out = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .await?;
    ensure!(out.status.success(), "{}", said(&out));
    Ok((cert, key))
}

#[tokio::test]
async fn users_prove_their_password_and_nobody_else_gets_in() -> Result<()> {
    let users = ", users: [{ name: ann, password: \"s3cret: ü\" }, { name: bob, password: other }]";
    let project = Project::with_server(SIMULATOR, users)?;
    let lakebox = project.serve().await?;
    let out = psql(&lakebox, "ann", "s3cret: ü", "").await?;
    ensure!(out.status.success() && said(&out).trim() == "ann", "{}", said(&out));
    // What the server demands is SCRAM: the password itself never goes over the wire.
    let out = psql(&lakebox, "bob", "other", "channel_binding=disable").await?;
    ensure!(out.status.success() && said(&out).trim() == "bob", "{}", said(&out));
    for (user, password) in [("ann", "other"), ("bob", "s3cret: ü"), ("carl", "other"), ("analyst", "x")] {
        let out = psql(&lakebox, user, password, "").await?;
        ensure!(!out.status.success() && said(&out).contains("assword authentication failed"), "{user}: {}", said(&out));
    }
    let log = lakebox.log()?;
    ensure!(!log.contains("s3cret") && !log.contains("other"), "a password is in the log");
    lakebox.terminate().await
}

#[tokio::test]
async fn connections_are_encrypted_where_there_is_a_certificate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (cert, key) = certificate(folder.path()).await?;
    let server = format!(
        ", users: [{{ name: ann, password: secret }}], tls: {{ cert: \"{}\", key: \"{}\" }}",
        cert.display(),
        key.display()
    );
    let project = Project::with_server(SIMULATOR, &server)?;
    let lakebox = project.serve().await?;
    let verified = format!("sslmode=verify-full sslrootcert={}", cert.display());
    let out = psql(&lakebox, "ann", "secret", &verified).await?;
    ensure!(out.status.success() && said(&out).trim() == "ann", "{}", said(&out));
    let out = psql(&lakebox, "ann", "wrong", &verified).await?;
    ensure!(!out.status.success() && said(&out).contains("authentication failed"), "{}", said(&out));

    let script = "import sys, adbc_driver_flightsql.dbapi as f\n\
         from adbc_driver_flightsql import DatabaseOptions as o\n\
         c = f.connect(sys.argv[1], db_kwargs={'username': 'ann', 'password': sys.argv[2], o.TLS_ROOT_CERTS.value: open(sys.argv[3]).read()}, autocommit=True)\n\
         k = c.cursor(); k.execute('select 41 + 1 as answer'); print(k.fetchall())";
    let uri = format!("grpc+tls://127.0.0.1:{}", project.flight_port());
    for (password, wanted) in [("secret", Some("[(42,)]")), ("wrong", None)] {
        let out = Command::new(python("clients")?).args(["-c", script, &uri, password]).arg(&cert).output().await?;
        match wanted {
            Some(wanted) => ensure!(out.status.success() && said(&out).contains(wanted), "{}", said(&out)),
            None => ensure!(!out.status.success() && said(&out).contains("name and password"), "{}", said(&out)),
        }
    }
    lakebox.terminate().await
}

#[tokio::test]
async fn a_port_that_others_reach_needs_users() -> Result<()> {
    let project = Project::new("")?;
    let config = project.path().join("open.yaml");
    std::fs::write(&config, "server: { pgwire: \"0.0.0.0:21999\" }\n")?;
    for command in ["check", "serve"] {
        let mut lakebox = Command::new(e2e::binary());
        let out = lakebox.args([command, "--config"]).arg(&config).current_dir(project.path()).output().await?;
        let said = said(&out);
        ensure!(!out.status.success(), "{command} took it: {said}");
        ensure!(said.contains("server.pgwire listens on 0.0.0.0") && said.contains("users:"), "{command}: {said}");
    }
    Ok(())
}
