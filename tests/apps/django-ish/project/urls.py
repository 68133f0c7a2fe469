import os

from django.http import HttpResponse
from django.urls import path


def index(_request):
    env = os.environ.get
    body = f"Hello from {env('POWERED_BY', 'paas')} {env('HEROKU_RELEASE_VERSION', '')} {env('DYNO', '')}\n"
    return HttpResponse(body, content_type="text/plain")


urlpatterns = [path("", index)]
