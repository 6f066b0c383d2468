"""A local web page over a store, `maggy ui`: it only looks. Starlette and uvicorn come with `maggy[ui]`."""
