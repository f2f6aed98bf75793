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
                    params.push(name);
                    node.any.get_or_insert_default()
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
            for segment in rest.split('/') {
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
