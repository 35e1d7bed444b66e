"""How good answers are: pure functions of gold and predicted answers, shares of 0 to 1 unless said otherwise."""
