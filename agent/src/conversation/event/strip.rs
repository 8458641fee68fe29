//! Leaves the nulls of JSON objects out, without reading it into a tree.

/// How far down nulls are left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Everywhere.
    All,
    /// Of the outermost object, its `value` aside.
    AroundValue,
}

/// `json` without the members of objects that are null; those of lists stay. `json` must be valid and compact, as
/// serde_json writes it.
pub(super) fn without_nulls(json: &[u8], depth: Depth) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut level = 0_usize;
    let mut rest = json;
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'"' => {
                let text = text_len(rest);
                let (name, after) = rest.split_at_checked(text).unwrap_or((rest, &[]));
                let stripped = depth == Depth::All || level == 1 && name != b"\"value\"";
                if let Some(after) = after.strip_prefix(b":null").filter(|_| stripped) {
                    // Its comma goes with it: the one after it, or else, at the end, the one before.
                    rest = after.strip_prefix(b",").unwrap_or_else(|| {
                        out.pop_if(|last| *last == b',');
                        after
                    });
                    continue;
                }
                out.extend_from_slice(name);
                rest = after;
                continue;
            }
            b'{' | b'[' => level += 1,
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
        out.push(first);
        rest = after;
    }
    out
}

/// Bytes of the text that `json` begins with, quotes included.
pub(in crate::conversation) fn text_len(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            3 => Just(Value::Null),
            1 => any::<i32>().prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
            2 => r#"[a,:"\\{}\[\]nul é]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map(r#"[a"\\,:]{0,4}"#, inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn does_what_a_walk_over_the_tree_does(mut value in any_json()) {
            let bytes = serde_json::to_vec(&value).unwrap();
            let stripped = without_nulls(&bytes, Depth::All);
            strip(&mut value);
            prop_assert_eq!(stripped, serde_json::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn a_value_is_left_alone() {
        let json = br#"{"a":null,"value":{"b":null,"c":[null]},"d":null}"#;
        let stripped = without_nulls(json, Depth::AroundValue);
        assert_eq!(stripped, br#"{"value":{"b":null,"c":[null]}}"#);
        let json = br#"{"value":null,"d":null}"#;
        let stripped = without_nulls(json, Depth::AroundValue);
        assert_eq!(stripped, br#"{"value":null}"#);
    }
}
