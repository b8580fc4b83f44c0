# Code as it was written for the old clients: only the import differs.
import asyncio
import sys

from wrinklefree import AsyncBitNetClient, BitNetClient

url = sys.argv[1]
host, port = url.removeprefix("http://").split(":")

client = BitNetClient(host, int(port), timeout=30)
assert client.base_url == url and client.timeout == 30
assert client.health_check() is True
assert BitNetClient(port=9).health_check() is False
client = BitNetClient.from_url(url + "/", timeout=30)
text = client.generate("Once upon a time", max_tokens=8, temperature=0)
assert text == ", there was a hungry girl named Grace", text
assert client.generate("Once upon a time", 8, 0.0, 0.9, 40, None, True) == text
assert client.generate("Once upon a time", max_tokens=50, temperature=0, stop=[" girl"]) == ", there was a hungry"
assert list(client.generate_stream("Once upon a time", max_tokens=3, temperature=0)) == [",", " there", " was"]
greeting = client.chat([{"role": "user", "content": "Hello"}], max_tokens=50, temperature=0, top_p=1.0)
assert greeting == "Hello! How can I help you today?", greeting
assert client.chat([{"role": "user", "content": "Hello"}], temperature=0, repeat_penalty=1.0) == greeting
assert client.detokenize(client.tokenize("Once upon a time")) == "Once upon a time"


async def main() -> None:
    async with AsyncBitNetClient(base_url=url, timeout=30) as client:
        assert await client.health_check() is True
        assert await client.generate("Once upon a time", max_tokens=8, temperature=0) == text
        pieces = client.generate_stream("Once upon a time", max_tokens=3, temperature=0, top_k=5)
        assert [piece async for piece in pieces] == [",", " there", " was"]
        assert await client.chat([{"role": "user", "content": "Hello"}], temperature=0) == greeting
        texts = await asyncio.gather(
            *(client.generate("Once upon a time", max_tokens=8, temperature=0) for _ in range(8))
        )
        assert texts == [text] * 8


asyncio.run(main())
print("ok")
