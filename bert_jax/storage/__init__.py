"""Files only, local or gs://: whole or absent, locked, mirrored; directories that appear at once; JSON by schema."""
