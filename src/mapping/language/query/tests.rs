//! Valid, mistaken and hostile queries and conditions.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BudgetExceeded, Condition, Query, QueryError};

fn nodes(text: &str, document: &Value) -> Result<Vec<Value>, BudgetExceeded> {
    let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let nodes = query.nodes(document, document)?;
    Ok(nodes.into_iter().cloned().collect())
}

/// Checks the place of a mistake, which is between `«` and `»` in `marked`, and the advice.
fn check_mistake(parse: impl Fn(&str) -> Option<QueryError>, marked: &str, advice: &str) {
    let text = marked.replace(['«', '»'], "");
    let error = parse(&text).unwrap_or_else(|| panic!("{text} was taken"));
    let start = marked.find('«').unwrap();
    let end = marked.find('»').unwrap() - '«'.len_utf8();
    let shown = format!("{}; {}", error.message, error.help.as_deref().unwrap_or_default());
    assert_eq!(error.at, start..end, "{text}: {shown}");
    assert!(shown.contains(advice), "{text}: {shown}");
}

fn check_query(marked: &str, advice: &str) {
    check_mistake(|text| Query::parse(text).err(), marked, advice);
}

fn check_condition(marked: &str, advice: &str) {
    check_mistake(|text| Condition::parse(text).err(), marked, advice);
}

#[test]
fn query_has_a_start_and_may_be_singular() {
    for (text, relative, singular) in [
        ("$", false, true),
        ("$.a['b'][0]", false, true),
        ("@.a", true, true),
        ("@..a", true, false),
        ("$.a[*]", false, false),
        ("$[0,1]", false, false),
    ] {
        let query = Query::parse(text).unwrap();
        assert_eq!((query.is_relative(), query.is_singular()), (relative, singular), "{text}");
    }
}

#[test]
fn relative_query_starts_at_the_item_and_sees_the_payload() {
    let payload = json!({"wanted": 2, "items": [{"n": [1, 2, 3]}]});
    let query = Query::parse("@.n[?@ == $.wanted]").unwrap();

    assert_eq!(query.nodes(&payload, &payload["items"][0]), Ok(vec![&json!(2)]));
}

#[test]
fn large_ids_that_differ_are_not_equal() {
    let document = json!({"id": 9_007_199_254_740_993_u64, "ids": [9_007_199_254_740_992_u64]});

    assert_eq!(nodes("$.ids[?@ == $.id]", &document), Ok(vec![]));
    assert_eq!(nodes("$.ids[?@ < $.id]", &document).unwrap().len(), 1);
}

#[test]
fn descendant_union_has_the_order_of_the_rfc() {
    let document = json!([{"a": {"d": 1}, "d": 2}, {"a": 3, "d": 4}]);

    let found = nodes("$..['a','d']", &document);

    assert_eq!(found, Ok(vec![json!({"d": 1}), json!(2), json!(1), json!(3), json!(4)]));
}

#[test]
fn condition_holds_or_not() {
    let payload = json!({"kind": "bug", "labels": [{"name": "feedback"}], "n": 2});
    for (text, expected) in [
        ("@.kind == 'bug'", true),
        (" @.kind=='bug'\n && @.n >= 3 ", false),
        ("@.labels[?@.name == 'feedback']", true),
        ("!@.missing && (@.n < 1 || search(@.kind, 'u'))", true),
        ("@.missing == $.missing", true),
        ("count(@.*) == 3", true),
    ] {
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(condition.holds(&payload, &payload), Ok(expected), "{text}");
    }
}

#[test]
fn query_mistake_has_a_place_and_advice() {
    check_query("«a.b»", "write `$.a.b`");
    check_query("«»", "empty");
    check_query("«$.a »", "white space");
    check_query("$.a«[»0", "not closed");
    check_query("$.a«]»", "nothing is open");
    check_query("$.a[?«(»@.b]", "not closed");
    check_query("$.a[«name»]", "`['name']`");
    check_query("$.a.«b-c».d", "write `$.a['b-c']`");
    check_query("$.a.«b-2».d", "write `$.a['b-2']`");
    check_query("$.a.«first name»", "write `$.a['first name']`");
    check_query("«$a»", "write `$.a`");
    check_query("$.a[?@.b «=» 1]", "write `==`");
    check_query("$.a[?@.b == «‘x’»]", "straight");
    check_query("$.a[?@.b == «'»x]", "unclosed string");
    check_query("$.a[?«kind» == 'x']", "write `@.kind`");
    check_query("$.a[«@».b]", "[?...]");
    check_query("$.a[?@.b[«@».c]]", "[?...]");
    check_query("$.a[?@.b[«name»]]", "`['name']`");
    check_query("$. «a»", "white space");
    check_query("$.a[?«count» (@.b) > 1]", "white space");
    check_query("$.a['x«\n»y']", "control character");
    check_query("$.a[*].name «==» 'x'", "`$.a[?@.name == 'x']`");
    check_query("$.a[?«@.b[*].c» == 'x']", "`@.b[?@.c == 'x']`");
    check_query("$.a[?@.b.«length»() > 1]", "`length(@.b)`");
    check_query("$.a[?«lenght»(@.b) > 1]", "did you mean `length`");
    check_query("$.a[?«in»(@.b, @.c)]", "not a function");
    check_query("$.a[?@.id == «99999999999999999»]", "9007199254740991");
    check_query("$.a[?@.b == «True»]", "write `true`");
    check_query("$.«&»", "");
    check_query("$.a.«»", "missing at the end");
    check_query("$.a[«]»", "does not belong");
}

#[test]
fn condition_mistake_has_a_place_and_advice() {
    check_condition("«»", "empty");
    check_condition("@.a == 1 «and» @.b == 2", "`&&`");
    check_condition("@.a «OR» @.b", "`||`");
    check_condition("«not» @.a", "`!`");
    check_condition("@.a «&» @.b", "`&&`");
    check_condition("«not»(@.a)", "`!`");
    check_condition("«count»(1) > 2", "needs a path");
    check_condition("«match(@.a, 'b')» == true", "`!match(@.a, 'b')`");
    check_condition(r"match(@.a, '«\d»')", r"twice: `\\d`");
    check_condition(r#"@.a == '«\"»'"#, "knows no escape");
    check_condition("«status» == 'new'", "write `@.status`");
    check_condition("'x' == «@.labels[*].name»", "`@.labels[?'x' == @.name]`");
    check_condition("«@.tags[*]» == 'x'", "`@.tags[?@ == 'x']`");
    check_condition("«@..name» == 'x'", "nested filter");
    check_condition("«length(@.a)»", "compare it");
    check_condition("length(«@.a[*]») > 1", "count(...)");
    check_condition("«match(@.a, @.b)»", "text in quotes");
    check_condition(r"«match(@.a, '\\d')»", "`[0-9]`");
    check_condition("@.a == 1«,» @.b", "`&&`");
    check_condition("true«]» || $[?@", "nothing is open");
    check_condition("@.a ==«»", "missing at the end");
    check_condition("@.a«)»", "nothing is open");
    check_condition("@.a «@».b", "`&&`");
}

#[test]
fn unknown_functions_and_ill_typed_queries_are_refused() {
    for text in [
        "$[?in(@.a, @.b)]",
        "$[?any_of(@.a, @.b)]",
        "$[?count(@..*)]",
        "$[?length(@['a', 'b'])<3]",
        "$[?count(1)>2]",
        "$[?length(!@.a)>2]",
        "$[?length(match(@.a, 'b'))>2]",
        "$[?@.a == 1e999]",
    ] {
        assert!(Query::parse(text).is_err(), "{text}");
    }
}

/// Asserts that the work takes less than 10 s.
// Debug builds on a busy machine are slow; what this guards against takes minutes.
fn quickly<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    done
}

#[test]
fn long_key_of_an_array_takes_no_memory() {
    let document = json!({"k".repeat(128 * 1024): vec![0; 64 * 1024]});

    assert_eq!(quickly(|| nodes("$..email", &document)), Ok(vec![]));
}

#[test]
fn long_name_costs_steps_at_each_object() {
    let document = json!(vec![json!({"a": 1, "b": 2}); 20_000]);

    let long = format!("$..['{}']", "k".repeat(4_000));

    assert_eq!(quickly(|| nodes(&long, &document)), Err(BudgetExceeded));
    assert_eq!(quickly(|| nodes("$..['k']", &document)), Ok(vec![]));
}

#[test]
fn explosive_query_exceeds_its_budget() {
    let deep = (0..120).fold(json!(1), |inner, _| json!({ "a": inner }));
    let wide = json!({"x": vec![json!([1, 2, 3]); 20_000]});

    for text in ["$..a..a..a..a", "$..*..*..*..*", "$..a[?@..a..a..a]"] {
        assert_eq!(quickly(|| nodes(text, &deep)), Err(BudgetExceeded), "{text}");
    }
    for text in ["$.x[?count($..*)>1]", "$.x[*,*,*,*,*,*]", "$.x[?$.x == $.x]"] {
        assert_eq!(quickly(|| nodes(text, &wide)), Err(BudgetExceeded), "{text}");
    }
    let zeros = format!("$[{}0]", "0,".repeat(2000));
    assert_eq!(quickly(|| nodes(&zeros, &json!([7]))).unwrap().len(), 2001);
}

#[test]
fn pattern_is_fast_on_many_items_and_bounded_on_long_ones() {
    let many = json!(vec!["some words of a customer"; 20_000]);
    let long = json!(["ab".repeat(1_500_000)]);

    let found = quickly(|| nodes(r"$[?search(@, '[a-z]+ of (a|the) .*r$')]", &many));

    assert_eq!(found.unwrap().len(), 20_000);
    assert_eq!(quickly(|| nodes("$[?search(@, '(a+)+c')]", &long)), Ok(vec![]));
    let costly = "$[?search(@, '[ab]*a[ab]{200}c')]";
    assert_eq!(quickly(|| nodes(costly, &long)), Err(BudgetExceeded));
}

#[test]
fn deep_or_long_query_is_refused_quickly() {
    let nested = |open: &str, close: &str, count: usize| {
        format!("$[?{}@.a{}]", open.repeat(count), close.repeat(count))
    };
    for text in [
        nested("(", ")", 1000),
        nested("!(", ")", 600),
        nested("@[?", "]", 500),
        nested("length(", ")", 300),
        nested("length(", ") #", 3),
        nested("count(@[?", "])", 200),
        "$[".repeat(2000),
        format!("$.{}", "a".repeat(5000)),
    ] {
        assert!(quickly(|| Query::parse(&text)).is_err(), "{text}");
    }
    assert!(quickly(|| Query::parse(&nested("(", ")", 30))).is_ok());
    assert!(quickly(|| Query::parse(&nested("@[?", "]", 30))).is_ok());
    let long = format!("$[?{}@.a]", "@.a||".repeat(800));
    assert!(quickly(|| Query::parse(&long)).is_ok());
}

#[test]
fn nested_query_on_a_deep_document_needs_little_stack() {
    let deep = (0..126).fold(json!(1), |inner, _| json!([inner]));
    let nested = format!("$[?{}@ == $[0]{}]", "@[?".repeat(30), "]".repeat(30));
    let work = move || (nodes(&nested, &deep), nodes("$..[?@ == $]", &deep));

    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap();

    assert_eq!(thread.join().unwrap(), (Ok(vec![]), Ok(vec![])));
}
