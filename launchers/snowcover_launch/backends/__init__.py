"""The places where jobs run, each behind the same few methods."""
