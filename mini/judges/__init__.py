"""The judges: who names styles and individuals in USO-mini's pictures without having had a part in making them."""
