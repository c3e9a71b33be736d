"""Which instance goes where: constraints, the grouped matcher, and carving exact resources."""
