"""One venue made of several: books seen together, orders split over them to the least expected cost."""
