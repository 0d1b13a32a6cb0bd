use super::{
    address::Address,
    refusal::Refusal,
    wire::{Wire, message},
};
use pipeline::{Error, Kind};
use postgres_protocol::authentication::{
    md5_hash,
    sasl::{ChannelBinding, ScramSha256},
};

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Answers the server's questions until it lets us in.
pub(crate) async fn log_in(wire: &mut Wire, address: &Address) -> Result<(), Error> {
    let place = address.to_string();
    let refused = |why: String| Error::new(Kind::Refused, format!("logging in to {place} failed: {why}"));
    let mut scram: Option<ScramSha256> = None;
    loop {
        let frame = wire.next().await?;
        let answer = match (frame.tag, frame.body.split_first_chunk::<4>()) {
            (b'E', _) => return Err(Refusal::parse(frame.body).into_error(&format!("logging in to {place} as {}", address.user))),
            (b'R', Some((code, rest))) => match u32::from_be_bytes(*code) {
                OK => return Ok(()),
                CLEARTEXT => Some(with_zero(password(address)?.as_bytes())),
                MD5 => {
                    let salt = rest.first_chunk::<4>().copied().ok_or_else(|| refused("the md5 salt is missing".into()))?;
                    Some(with_zero(md5_hash(address.user.as_bytes(), password(address)?.as_bytes(), salt).as_bytes()))
                }
                SASL => {
                    if !rest.split(|b| *b == 0).any(|m| m == b"SCRAM-SHA-256") {
                        return Err(refused("the server offers no login method that lakebox knows (SCRAM-SHA-256)".into()));
                    }
                    let started = ScramSha256::new(password(address)?.as_bytes(), ChannelBinding::unsupported());
                    let first = started.message();
                    let mut body = with_zero(b"SCRAM-SHA-256");
                    body.extend(u32::try_from(first.len()).unwrap_or(0).to_be_bytes());
                    body.extend_from_slice(first);
                    scram = Some(started);
                    Some(body)
                }
                SASL_CONTINUE => {
                    let running = scram.as_mut().ok_or_else(|| refused("SCRAM goes on before it began".into()))?;
                    running.update(rest).map_err(|e| refused(format!("SCRAM: {e}")))?;
                    Some(running.message().to_vec())
                }
                SASL_FINAL => {
                    let running = scram.as_mut().ok_or_else(|| refused("SCRAM ends before it began".into()))?;
                    // This is the server proving that it knows the password too.
                    running.finish(rest).map_err(|e| refused(format!("the server's SCRAM proof is wrong: {e}")))?;
                    None
                }
                other => {
                    return Err(refused(format!("the server asks for login method {other}, which lakebox does not know"))
                        .with_hint("Let pg_hba.conf ask this user for scram-sha-256, md5, password or trust."));
                }
            },
            _ => None,
        };
        if let Some(answer) = answer {
            wire.send(&message(b'p', &answer)).await?;
        }
    }
}

fn password(address: &Address) -> Result<&str, Error> {
    address.password.as_deref().ok_or_else(|| {
        Error::new(Kind::Refused, format!("{address} asks for a password and the url of the source has none"))
            .with_hint("Write the password into the url: postgres://user:${PASSWORD}@host/database.")
    })
}

fn with_zero(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.push(0);
    out
}
