"""tuspyserver as its README sets it up; files go to `store` in the working directory."""

from fastapi import FastAPI
from tuspyserver import create_tus_router

app = FastAPI()
app.include_router(create_tus_router(prefix="files", files_dir="store"))
