"""Other frameworks to measure against, each as small as its library lets it be."""
