//! "Did you mean": the nearest of a list of names.

/// The edit distance (insert, delete, replace, swap of neighbours) between two names, ignoring case.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The candidate nearest to `name`, if it is near enough to be what was meant; ties go to the first.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match name.chars().count() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let d = distance(name, candidate);
        let shares_nothing = d >= candidate.chars().count();
        if d <= limit && !shares_nothing && best.is_none_or(|(b, _)| d < b) {
            best = Some((d, candidate));
        }
    }
    best.map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name_within_reach() {
        assert_eq!(distance("kernal", "kernel"), 1);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(nearest("Conv2D", ["Conv1d", "Conv2d", "Linear"]), Some("Conv2d"));
        assert_eq!(nearest("xyz", ["Conv1d", "Linear"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
