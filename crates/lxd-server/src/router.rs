//! Finding the route of a path. Segments are compared before they are decoded, so that `%2F` in a name
//! never makes two segments of it.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::ctx::Collection;
use crate::path;
use crate::routes::Route;

/// The routes as a tree of path segments.
pub struct Router {
    root: Node,
}

#[derive(Default)]
struct Node {
    literal: HashMap<&'static str, Node>,
    /// The subtree behind any other segment.
    any: Option<Box<Node>>,
    /// The subtree behind all segments that are left, `{name*}`.
    rest: Option<Box<Node>>,
    methods: Vec<(Method, Arc<Route>, Collection, Vec<&'static str>)>,
}

/// What a path leads to.
pub enum Found<'a> {
    /// A route with its decoded `{segments}`.
    Route {
        /// The table's row.
        route: &'a Arc<Route>,
        /// Which name of the instances' tree was used.
        collection: Collection,
        /// Values of the `{segments}`.
        params: Vec<(&'static str, String)>,
    },
    /// The path exists, this method does not.
    OtherMethods,
    /// No such path.
    Nothing,
    /// The path has a broken escape.
    Malformed,
}

impl Router {
    /// A tree of the table's rows. `/1.0/containers` and `/1.0/virtual-machines` are derived here.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut router = Self { root: Node::default() };
        for route in routes {
            let route = Arc::new(route);
            match route.path.strip_prefix("/1.0/instances") {
                Some(rest) => {
                    for collection in
                        [Collection::Instances, Collection::Containers, Collection::VirtualMachines]
                    {
                        router.insert(["1.0", collection.as_str()], rest, collection, &route);
                    }
                }
                None => router.insert([], route.path, Collection::Instances, &route),
            }
        }
        router
    }

    fn insert<const N: usize>(
        &mut self,
        before: [&'static str; N],
        rest: &'static str,
        collection: Collection,
        route: &Arc<Route>,
    ) {
        let mut params = Vec::new();
        let mut node = &mut self.root;
        let rest = rest.split('/').skip(1).filter(|segment| !segment.is_empty());
        for segment in before.into_iter().chain(rest) {
            node = match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => {
                    params.push(name.trim_end_matches('*'));
                    let subtree = if name.ends_with('*') { &mut node.rest } else { &mut node.any };
                    subtree.get_or_insert_default()
                }
                None => node.literal.entry(segment).or_default(),
            };
        }
        node.methods.push((route.method.clone(), route.clone(), collection, params));
    }

    /// The route of a request.
    pub fn find<'a>(&'a self, method: &Method, raw: &str) -> Found<'a> {
        let mut values = Vec::new();
        let mut node = &self.root;
        let Some(rest) = raw.strip_prefix('/') else { return Found::Nothing };
        if !rest.is_empty() {
            let mut at = 0;
            for segment in rest.split('/') {
                if let Some(next) = &node.rest {
                    values.push(&rest[at..]);
                    node = next;
                    break;
                }
                at += segment.len() + 1;
                if segment.is_empty() || segment == "." || segment == ".." {
                    return Found::Nothing;
                }
                node = match (node.literal.get(segment), &node.any) {
                    (Some(next), _) => next,
                    (None, Some(next)) => {
                        values.push(segment);
                        next
                    }
                    (None, None) => return Found::Nothing,
                };
            }
        }
        node.choose(method, &values)
    }
}

impl Node {
    fn choose<'a>(&'a self, method: &Method, values: &[&str]) -> Found<'a> {
        if self.methods.is_empty() {
            return Found::Nothing;
        }
        let Some((_, route, collection, names)) = self.methods.iter().find(|entry| entry.0 == method) else {
            return Found::OtherMethods;
        };
        let mut params = Vec::with_capacity(names.len());
        for (name, value) in names.iter().zip(values) {
            match path::decode(value) {
                Some(value) => params.push((*name, value.into_owned())),
                None => return Found::Malformed,
            }
        }
        Found::Route { route, collection: *collection, params }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Access, route};
    use crate::{Ctx, Reply};

    async fn nothing(_cx: Ctx) -> lxd_types::Result<Reply> {
        Ok(Reply::empty())
    }

    fn router() -> Router {
        let row = |path| route(Method::GET, path, Access::Anyone, "1.0", nothing);
        let paths = ["/", "/1.0/instances/{name}/state", "/1.0/images/{fingerprint}"];
        let mut rows: Vec<Route> = paths.into_iter().map(row).collect();
        rows.push(row("/1.0/images/aliases/{name*}"));
        Router::new(rows)
    }

    fn params(path: &str) -> Option<Vec<(&'static str, String)>> {
        match router().find(&Method::GET, path) {
            Found::Route { params, .. } => Some(params),
            _ => None,
        }
    }

    #[test]
    fn segments_are_decoded_after_they_were_split() {
        let name = |value: &str| Some(vec![("name", value.to_owned())]);
        assert_eq!(params("/"), Some(vec![]));
        assert_eq!(params("/1.0/instances/a%2Fb/state"), name("a/b"));
        assert_eq!(params("/1.0/virtual-machines/x/state"), name("x"));
        assert_eq!(params("/1.0/images/aliases/a/b%20c"), name("a/b c"));
        assert_eq!(params("/1.0/images/aliases/"), name(""));
        assert_eq!(params("/1.0/images/abc").map(|found| found.len()), Some(1));
        for nothing in ["", "x", "//", "/1.0//instances", "/1.0/instances//state", "/1.0/instances/../state"]
        {
            assert_eq!(params(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn other_methods_of_a_path_are_known() {
        assert!(matches!(router().find(&Method::PUT, "/1.0/containers/x/state"), Found::OtherMethods));
        assert!(matches!(router().find(&Method::PUT, "/1.0/containers/x"), Found::Nothing));
        assert!(matches!(router().find(&Method::GET, "/1.0/containers/%zz/state"), Found::Malformed));
    }
}
