"""The steps that make pictures: target, style reference, content reference."""
