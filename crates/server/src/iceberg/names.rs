//! Names in paths and bodies, and lists of them in pages.

use super::answer::{About, Answer, Refusal};
use axum::http::StatusCode;
use model::{LakeTable, Layer};
use serde::Deserialize;
use serde_json::{Value, json};

/// What separates the levels of a namespace in a path.
const LEVEL: char = '\u{1f}';
const PAGE_MAX: usize = 10_000;

/// A namespace of a path.
///
/// # Errors
/// 404: a name that can't be a namespace is none.
pub(super) fn namespace(text: &str) -> Answer<Layer> {
    text.parse().map_err(|_| {
        let shown = text.replace(LEVEL, ".");
        let message = format!("There is no namespace {shown}");
        Refusal::new(StatusCode::NOT_FOUND, "NoSuchNamespaceException", message)
    })
}

/// A table or view of a path.
///
/// # Errors
/// 404, for what the request is about rather than for the namespace: clients look for `files` in a namespace `own.t` before they take it for a part of `own.t`.
pub(super) fn table(about: About, namespace: &str, name: &str) -> Answer<LakeTable> {
    let kind = match about {
        About::Namespace => "NoSuchNamespaceException",
        About::Table | About::Commit => "NoSuchTableException",
        About::View => "NoSuchViewException",
    };
    let found = self::namespace(namespace).map(|layer| LakeTable::new(layer, name));
    found.map_err(|refusal| Refusal { kind, ..refusal })
}

/// A namespace in a body: a list of its levels.
pub(super) fn levels(levels: &[String]) -> String {
    levels.join(&LEVEL.to_string())
}

/// A table or view in a body.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identifier {
    pub namespace: Vec<String>,
    pub name: String,
}

impl Identifier {
    pub(super) fn table(&self, about: About) -> Answer<LakeTable> {
        table(about, &levels(&self.namespace), &self.name)
    }
}

/// An identifier in an answer.
pub(super) fn identifier(table: &LakeTable) -> Value {
    json!({"namespace": [table.layer.as_str()], "name": table.name})
}

/// Which part of a list: all of it where no page is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paging {
    page_token: Option<String>,
    page_size: Option<usize>,
}

impl Paging {
    pub(super) fn new(page_token: Option<String>, page_size: Option<usize>) -> Self {
        Self { page_token, page_size }
    }
}

/// The wanted part of `items`, which are in order of their names, and what leads to the next one. The token of a page is the last name of the
/// one before, so that what is made or dropped meanwhile moves nothing else.
///
/// # Errors
/// 400 for a page of no size.
pub(super) fn page<T>(mut items: Vec<T>, name: impl Fn(&T) -> String, paging: &Paging) -> Answer<(Vec<T>, Option<String>)> {
    if paging.page_size == Some(0) {
        return Err(Refusal::bad("pageSize must be at least 1"));
    }
    if paging.page_token.is_none() && paging.page_size.is_none() {
        return Ok((items, None));
    }
    if let Some(after) = paging.page_token.as_deref().filter(|t| !t.is_empty()) {
        items.retain(|item| name(item).as_str() > after);
    }
    let size = paging.page_size.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let more = items.len() > size;
    items.truncate(size);
    let next = if more { items.last().map(name) } else { None };
    Ok((items, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<String> = (0..7).map(|i| format!("t{i}")).collect();
        let (mut seen, mut token) = (Vec::new(), Some(String::new()));
        while let Some(page_token) = token {
            let paging = Paging { page_token: Some(page_token), page_size: Some(3) };
            let (items, next) = page(all.clone(), Clone::clone, &paging).unwrap();
            assert!(items.len() <= 3);
            seen.extend(items);
            token = next;
        }
        assert_eq!(seen, all);
        assert_eq!(page(all.clone(), Clone::clone, &Paging::default()).unwrap(), (all.clone(), None));
        let exact = Paging { page_token: None, page_size: Some(7) };
        assert_eq!(page(all.clone(), Clone::clone, &exact).unwrap().1, None);
        let none = Paging { page_token: None, page_size: Some(0) };
        assert_eq!(page(all, Clone::clone, &none).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn a_namespace_of_two_levels_is_none() {
        let refusal = namespace("a\u{1f}b").unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (404, "There is no namespace a.b"));
        assert_eq!(namespace("silver").unwrap(), Layer::Silver);
        assert_eq!(table(About::Table, "a\u{1f}b", "files").unwrap_err().kind, "NoSuchTableException");
        assert_eq!(table(About::View, "a\u{1f}b", "files").unwrap_err().kind, "NoSuchViewException");
    }
}
