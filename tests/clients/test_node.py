"""node-redis and ioredis, where Node.js is there; NODE_PATH names the folder of both."""

import os
import shutil
import subprocess
import unittest

from kv import ServerTest

SCRIPTS = os.path.dirname(os.path.abspath(__file__))


@unittest.skipUnless(shutil.which("node") and os.environ.get("NODE_PATH"), "Node.js or its clients are not there")
class Node(ServerTest):
    def run_script(self, name):
        command = ["node", os.path.join(SCRIPTS, name), self.server.port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done)

    def test_node_redis(self):
        self.run_script("node_redis.cjs")

    def test_ioredis(self):
        self.run_script("ioredis.cjs")


if __name__ == "__main__":
    unittest.main()
