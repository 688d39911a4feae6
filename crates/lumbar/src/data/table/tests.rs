use super::*;

fn parse(text: &str) -> Result<Table, TableError> {
    Table::parse("folder/t.csv", text)
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn line_ends_spaces_quotes_blank_lines_and_a_byte_order_mark_change_nothing() {
    let cells = |text: &str| -> Vec<Vec<String>> {
        let table = parse(text).unwrap();
        let columns = ["a", "b"].map(|name| table.column(name).unwrap());
        table.rows().map(|row| columns.map(|column| row.text(column).to_owned()).to_vec()).collect()
    };
    let expected = [["1", "x"], ["2", "y"]];
    for text in
        ["a,b\n1,x\n2,y\n", "\u{feff}a,b\r\n1,x\r\n2,y", "a , b\n\n 1,x \n   \n\"2\",\"y\"\n\n", "b,a\nx,1\ny,2\n"]
    {
        assert_eq!(cells(text), expected, "{text:?}");
    }
}

#[test]
fn lines_are_those_of_the_file_behind_blank_lines() {
    let table = parse("a,b\n\n\r\n1,x\n2,y\n   \n3,z\n").unwrap();
    assert_eq!(table.rows().map(|row| row.line()).collect::<Vec<_>>(), [4, 5, 7]);
    assert_eq!(message("a,b\n\n1,2\n3\n"), "\"folder/t.csv\", line 4: found 1 cells, expected 2 as in the header");
}

#[test]
fn what_is_no_table_is_refused_with_the_line() {
    assert_eq!(message(""), "\"folder/t.csv\", line 1: found nothing, expected a header");
    assert_eq!(message("a,b,a\n"), "\"folder/t.csv\", line 1: column \"a\" is there twice");
    let open = message("a,b\n1,2\n1,\"open\n2,3\n");
    assert_eq!(open, "\"folder/t.csv\", line 3: found an odd number of quotes up to here, expected each to be closed");
    let broken = message("a,b\n1,\"two\nlines\"\n");
    assert_eq!(broken, "\"folder/t.csv\", line 2: found a line break inside a cell, expected none");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin.csv");
    std::fs::write(&path, b"a,b\n1,gr\xfc\xdfe\n").unwrap();
    assert!(Table::read(&path).unwrap_err().to_string().ends_with("line 2: found bytes that are no UTF-8"));
    assert!(Table::read(folder.path().join("none.csv")).unwrap_err().to_string().starts_with("cannot read \""));
}

#[test]
fn a_cell_that_is_wrong_names_line_column_found_and_expected() {
    let table = parse("a,b\n1,\n2,nan\n").unwrap();
    let (a, b) = (table.column("a").unwrap(), table.column("b").unwrap());
    let rows: Vec<_> = table.rows().collect();
    assert_eq!(rows[0].parse_or_empty::<u32>(b, "a number").unwrap(), None);
    let error = rows[1].parse_or_empty::<u32>(b, "a number").unwrap_err().to_string();
    assert_eq!(error, "\"folder/t.csv\", line 3, column \"b\": found \"nan\", expected a number or an empty cell");
    assert!(rows[0].parse::<u32>(b, "a number").unwrap_err().to_string().contains("found \"\", expected a number"));
    assert!(rows[1].finite(b, "a finite number").is_err());
    assert_eq!(rows[1].finite(a, "a finite number").unwrap(), 2.0);
    let missing = table.column("c").unwrap_err().to_string();
    assert_eq!(missing, "\"folder/t.csv\" has no column \"c\", its columns are \"a\", \"b\"");
    let header = table.expect_header(&["b", "a"]).unwrap_err().to_string();
    assert_eq!(header, "\"folder/t.csv\", line 1: the header is \"a,b\", expected \"b,a\"");
    let mut seen = Seen::new();
    seen.insert(rows[0], 7, || "study 7".to_owned()).unwrap();
    let twice = seen.insert(rows[1], 7, || "study 7".to_owned()).unwrap_err().to_string();
    assert_eq!(twice, "\"folder/t.csv\", line 3: study 7 is already on line 2");
}

#[test]
fn a_cell_cannot_forge_a_line_of_its_own() {
    let table = parse("a\n\"x\r\u{1b}[31mEVCXR_BEGIN_CONTENT text/html\"\n").unwrap();
    let row = table.rows().next().unwrap();
    let text = row.wrong(table.column("a").unwrap(), "a number").to_string();
    assert!(!text.chars().any(char::is_control) && !text.contains("EVCXR_"), "{text}");
}
