use minijinja::context;

use super::*;

#[test]
fn a_plain_template_writes_values_as_they_are() {
    let context = context! { x => "a'b", y => true, m => context! { k => 1.5 } };
    let text = render("{{ x }} {{ y }} {{ m }}", &context);
    assert_eq!(text.unwrap(), r#"a'b true {"k":1.5}"#);
}

#[test]
fn an_undefined_name_is_an_error_in_templates_and_conditions() {
    let context = context! { x => context! {} };
    assert!(render("{{ x.y }}", &context).is_err());
    assert!(render_script("{{ x.y }}", &context).is_err());
    assert!(holds("x.y", &context).is_err());
    assert!(holds("x.y.z == 1", &context).is_err());
    assert_eq!(holds("x.y is defined", &context), Ok(false));
}

#[test]
fn endless_work_and_output_are_cut_short() {
    let context = context! { l => vec![0; 10_000] };
    let endless = "{% for a in l %}{% for b in l %}{{ a }}{% endfor %}{% endfor %}";
    assert!(render(endless, &context).is_err());
    let huge = "{% for a in l %}{{ l }}{% endfor %}";
    assert!(render(huge, &context).unwrap_err().contains("bytes"));
}

#[test]
fn assignments_are_refused_because_they_could_double_without_end() {
    let error = names_in_template("{% set x = 'a' %}{{ x }}").unwrap_err();
    assert!(error.contains("set"), "{error}");
}

#[test]
fn the_names_that_a_template_reads_are_known() {
    let names =
        names_in_template("{{ params.a }}{% for x in nodes.b.outputs.l %}{{ x }}{% endfor %}");
    assert_eq!(names.unwrap(), ["nodes.b.outputs.l", "params.a"]);
    assert!(names_in_template("{{ a").is_err());
    assert!(names_in_condition("a ==").is_err());
}
