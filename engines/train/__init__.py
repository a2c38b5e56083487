"""Training of the default face network: the only package of Fancam that imports torch."""
