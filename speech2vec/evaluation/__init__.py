"""What vectors know: word similarity, same-different, homophones, each beside its controls."""
