"""From stylised pictures to triplets: drawn by experts, judged, chosen by people."""
