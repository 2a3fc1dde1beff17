#![allow(clippy::unwrap_used)]

use super::*;

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn grid(flags: &Flags) -> Result<Sweep, GridError> {
    Sweep::new(Instrument::Decrypt, flags, Extent::Whole)
}

fn message(flags: Flags) -> String {
    grid(&flags).unwrap_err().to_string()
}

#[test]
fn a_grid_is_the_product_of_what_is_given() {
    let flags = Flags {
        n: list("4,5,16,64"),
        batch: list("32,128,512,2048"),
        threads: list("1,2"),
        bad_shares: list("0,1,n-t"),
        bundle_bytes: list("512,4096"),
    };
    let rows = grid(&flags).unwrap().rows;
    // With n of 4 and 5, n-t is 1.
    assert_eq!(rows.len(), (2 * 2 + 2 * 3) * 4 * 2 * 2);
    assert!(rows.iter().any(|row| row.n == 64 && row.bad_shares == 21));
    assert!(rows.iter().all(|row| row.t == threshold(row.n)));
}

#[test]
fn what_is_not_given_has_one_value() {
    let rows = grid(&Flags { n: list("4, 7"), ..Flags::default() }).unwrap().rows;
    let shown: Vec<String> = rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "n=4 batch=512 threads=1 bad-shares=0 bundle-bytes=512",
            "n=7 batch=512 threads=1 bad-shares=0 bundle-bytes=512",
        ]
    );
}

#[test]
fn errors_name_the_value_and_the_limit() {
    let flags = Flags::default;
    let errors = [
        (Flags { n: list("4,x"), ..flags() }, "--n x: not a number"),
        (Flags { n: list("3"), ..flags() }, "--n 3: between 4 and 128 are measured"),
        (Flags { n: list("129"), ..flags() }, "--n 129: between 4 and 128 are measured"),
        (Flags { batch: list("0"), ..flags() }, "--batch 0: between 1 and 8192 are measured"),
        (Flags { batch: list("9000"), ..flags() }, "--batch 9000: between 1 and 8192 are measured"),
        (Flags { threads: list("65"), ..flags() }, "--threads 65: between 1 and 64 are measured"),
        (Flags { bad_shares: list("t"), ..flags() }, "--bad-shares t: not a number and not n-t"),
        (
            Flags { n: list("16"), bad_shares: list("6"), ..flags() },
            "--bad-shares 6: with --n 16 at most 5 can be bad (n-t)",
        ),
        (
            Flags { bundle_bytes: list("600"), ..flags() },
            "--bundle-bytes 600: a padded bundle has 512, 1024, 2048 and so on to 65536 bytes",
        ),
        (
            Flags { bundle_bytes: list("65537"), ..flags() },
            "--bundle-bytes 65537: between 1 and 65536 are measured",
        ),
        (Flags { n: list(""), ..flags() }, "--n : not a number"),
    ];
    for (flags, expected) in errors {
        assert_eq!(message(flags), expected);
    }
    let given = Flags { n: list("4"), ..Flags::default() };
    assert_eq!(Sweep::new(Instrument::Decrypt, &given, Extent::Quick), Err(GridError::QuickGrid));
}

#[test]
fn the_standard_sweeps_hold_the_cases_of_the_budgets() {
    for extent in [Extent::Whole, Extent::Quick] {
        let sweep = Sweep::new(Instrument::Decrypt, &Flags::default(), extent).unwrap();
        for n in [4, 16, 64] {
            assert!(sweep.rows.iter().any(|row| row.n == n && row.batch >= 128));
        }
        for threads in [1, 2] {
            let is = |row: &RowCase| row.n == 5 && row.batch == 512 && row.threads == threads;
            assert!(sweep.rows.iter().any(is));
        }
        let longest = if extent == Extent::Quick { 70 } else { 20 * 60 };
        assert!(sweep.estimate() < Duration::from_secs(longest), "{:?}", sweep.estimate());
    }
}

#[test]
fn the_baseline_handles_as_many_as_there_are_threads() {
    let flags =
        Flags { n: list("64"), batch: list("1,512"), threads: list("1,3"), ..Flags::default() };
    let sweep = grid(&flags).unwrap();
    let counts: Vec<(usize, usize, usize)> = sweep
        .rows
        .iter()
        .map(|row| (row.batch, row.threads, sweep.baseline_ciphertexts(row)))
        .collect();
    assert_eq!(counts, [(1, 1, 1), (1, 3, 1), (512, 1, 4), (512, 3, 6)]);
}
