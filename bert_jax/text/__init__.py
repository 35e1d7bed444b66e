"""Files to documents to sentences to token ids; knows nothing of records, arrays or models."""
