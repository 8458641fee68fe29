//! The two ways in which a diff is merged into an object.

use crate::json::{Json, Object, Text};

/// JSON merge patch (RFC 7386) of `diff` into `base`: null removes, objects are merged, everything else
/// replaces. An object where none was is taken as it is, with its nulls, as the reference does.
pub(crate) fn merge_patch(base: &mut Object, diff: &Object) {
    let mut gone = false;
    for (name, change) in diff.iter() {
        match change {
            Json::Null => gone = true,
            Json::Object(change) => match base.get_mut(name).and_then(Json::as_object_mut) {
                Some(base) => merge_patch(base, change),
                None => drop(base.put(Text::copy_of(name), Json::Object(change.duplicate()))),
            },
            other => drop(base.put(Text::copy_of(name), other.duplicate())),
        }
    }
    if gone {
        // One walk for all of them: taking them out one by one would cost a walk each.
        base.retain(|name, _| !diff.get(name).is_some_and(Json::is_null));
    }
}

/// As [`merge_patch`], but null at the top is a value: nothing can be removed there.
pub(crate) fn merge_deep(base: &mut Object, diff: &Object) {
    for (name, change) in diff.iter() {
        match (change, base.get_mut(name).and_then(Json::as_object_mut)) {
            (Json::Object(change), Some(base)) => merge_patch(base, change),
            (change, _) => drop(base.put(Text::copy_of(name), change.duplicate())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn tree(value: &Value) -> Object {
        match Json::parse(value.to_string().as_bytes()).unwrap() {
            Json::Object(object) => object,
            _ => panic!("an object"),
        }
    }

    fn value(object: Object) -> Value {
        serde_json::from_slice(Json::Object(object).to_bytes().expose()).unwrap()
    }

    fn patched(base: &Value, diff: &Value) -> Value {
        let mut merged = tree(base);
        merge_patch(&mut merged, &tree(diff));
        value(merged)
    }

    #[test]
    fn null_removes_objects_merge_and_lists_are_replaced() {
        let base = json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "x": 5});
        let diff = json!({"a": {"b": null, "d": 3}, "l": [3], "x": null, "n": {"y": null}});
        assert_eq!(
            patched(&base, &diff),
            json!({"a": {"c": 2, "d": 3}, "l": [3], "n": {"y": null}})
        );
        assert_eq!(
            patched(&json!({"a": 1}), &json!({"a": {"b": null}})),
            json!({"a": {"b": null}})
        );
    }

    #[test]
    fn null_at_the_top_is_a_value_in_a_deep_merge() {
        let mut merged = tree(&json!({"a": {"b": 1}, "n": 1}));
        merge_deep(
            &mut merged,
            &tree(&json!({"a": {"b": null}, "n": null, "new": {"x": null}})),
        );
        assert_eq!(
            value(merged),
            json!({"a": {}, "n": null, "new": {"x": null}})
        );
    }

    /// RFC 7386, section 2, word for word, but for the objects that are new.
    fn rfc(base: &mut Value, diff: &Value) {
        let Some(diff) = diff.as_object() else {
            unreachable!()
        };
        let base = base.as_object_mut().unwrap();
        for (name, change) in diff {
            match base.get_mut(name) {
                _ if change.is_null() => drop(base.remove(name)),
                Some(old) if old.is_object() && change.is_object() => rfc(old, change),
                _ => drop(base.insert(name.clone(), change.clone())),
            }
        }
    }

    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            Just(json!([null]))
        ];
        let object = |inner| {
            prop::collection::hash_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(Map::from_iter(members)))
        };
        let inner = leaf.prop_recursive(
            3,
            24,
            4,
            move |inner| prop_oneof![1 => inner.clone(), 2 => object(inner)],
        );
        object(inner.boxed())
    }

    proptest! {
        #[test]
        fn merges_as_the_rfc_says(base in any_object(), diff in any_object()) {
            let mut expected = base.clone();
            rfc(&mut expected, &diff);
            prop_assert_eq!(patched(&base, &diff), expected);
        }

        #[test]
        fn merging_twice_is_merging_once(base in any_object(), diff in any_object()) {
            let once = patched(&base, &diff);
            // A new object keeps its nulls the first time and loses them the second.
            let settled = patched(&once, &diff);
            prop_assert_eq!(patched(&settled, &diff), settled);
        }

        #[test]
        fn an_empty_diff_changes_nothing(base in any_object()) {
            prop_assert_eq!(patched(&base, &json!({})), base);
        }
    }
}
