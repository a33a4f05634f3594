"""`carousel-bench URL`: what a Carousel server can take, found by asking it more and more."""
