use model::TableId;
use pipeline::{Error, Kind};

/// Which tables to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patterns {
    include: Vec<(String, String)>,
    exclude: Vec<(String, String)>,
}

impl Patterns {
    /// Reads `schema.table` patterns; without a schema, `public` is meant.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Error> {
        let mut patterns = Self { include: Vec::new(), exclude: Vec::new() };
        for text in texts {
            let (list, rest) = match text.trim().strip_prefix('!') {
                Some(rest) => (&mut patterns.exclude, rest),
                None => (&mut patterns.include, text.trim()),
            };
            let (schema, table) = rest.split_once('.').unwrap_or(("public", rest));
            if schema.is_empty() || table.is_empty() {
                return Err(Error::new(Kind::Misconfigured, format!("the table pattern `{text}` names no table"))
                    .with_hint("Write schema.table; * and ? stand for any characters, a leading ! leaves tables out."));
            }
            list.push((schema.to_owned(), table.to_owned()));
        }
        if patterns.include.is_empty() {
            patterns.include.push(("*".into(), "*".into()));
        }
        Ok(patterns)
    }

    pub(crate) fn matches(&self, table: &TableId) -> bool {
        let any = |list: &[(String, String)]| {
            list.iter().any(|(schema, name)| {
                glob(schema.as_bytes(), table.schema.as_bytes()) && glob(name.as_bytes(), table.name.as_bytes())
            })
        };
        any(&self.include) && !any(&self.exclude)
    }

    /// For messages.
    pub(crate) fn describe(&self) -> String {
        let list =
            |prefix: &str, all: &[(String, String)]| all.iter().map(|(s, t)| format!("{prefix}{s}.{t}")).collect::<Vec<_>>();
        [list("", &self.include), list("!", &self.exclude)].concat().join(", ")
    }
}

/// `*` is any run of characters, `?` one. Linear in time but for the last star, so no pattern can stall.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b) if *b == b'?' || *b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_match_as_written() {
        let patterns = |all: &[&str]| Patterns::parse(&all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap();
        let cases: &[(&[&str], &str, &str, bool)] = &[
            (&["public.*"], "public", "orders", true),
            (&["public.*"], "billing", "orders", false),
            (&["*.*"], "billing", "orders", true),
            (&["orders"], "public", "orders", true),
            (&["public.*", "!public.secret_*"], "public", "secret_keys", false),
            (&["public.*", "!public.secret_*"], "public", "secrets", true),
            (&["!public.a"], "other", "b", true),
            (&["public.a?c*e"], "public", "abcdde", true),
            (&["public.a?c*e"], "public", "abcdd", false),
        ];
        for (texts, schema, table, expected) in cases {
            assert_eq!(patterns(texts).matches(&TableId::new(*schema, *table)), *expected, "{texts:?} {schema}.{table}");
        }
        assert!(Patterns::parse(&["public.".into()]).is_err());
    }
}
