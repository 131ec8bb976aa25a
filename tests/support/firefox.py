"""Firefox by WebDriver BiDi: opens a page and returns what a script in it returns."""

import asyncio
import concurrent.futures
import itertools
import json
import re
import shutil
import subprocess
import time

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


def evaluate(address, script, folder, seconds=60):
    """Returns (the JSON value of `script` once it is not null, the errors of the page).

    `folder` is an empty folder for Firefox's profile.
    """
    command = [FIREFOX, "--headless", "--no-remote", "--remote-debugging-port=0"]
    command += ["--profile", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            lines = iter(process.stderr.readline, b"")
            found = (re.search(rb"BiDi listening on (ws://\S+)", line) for line in lines)
            socket = next(filter(None, found))[1].decode()
            work = _evaluate(socket, address, script, seconds)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:  # Playwright's loop runs here
                return pool.submit(asyncio.run, work).result()
        finally:
            process.terminate()


async def _evaluate(socket, address, script, seconds):
    from tornado.websocket import websocket_connect

    connection, numbers, errors = (
        await websocket_connect(f"{socket}/session"),
        itertools.count(),
        [],
    )

    async def send(method, **params):
        number = next(numbers)
        await connection.write_message(
            json.dumps({"id": number, "method": method, "params": params})
        )
        while True:
            message = json.loads(await connection.read_message())
            if message.get("method") == "log.entryAdded":
                errors.append(message["params"]["text"])
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]

    await send("session.new", capabilities={})
    await send("session.subscribe", events=["log.entryAdded"])
    tree = await send("browsingContext.getTree")
    context = tree["contexts"][0]["context"]
    await send("browsingContext.navigate", context=context, url=address, wait="complete")
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        options = {"target": {"context": context}, "awaitPromise": True}
        expression = f"JSON.stringify({script})"
        answer = await send("script.evaluate", expression=expression, **options)
        value = json.loads(answer["result"].get("value") or "null")
        if value is not None:
            connection.close()
            return value, errors
        await asyncio.sleep(0.2)
    connection.close()
    raise TimeoutError(f"{script} is null after {seconds} s; errors: {errors}")
