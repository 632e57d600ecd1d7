"""The restaurant's agent without its greeting; the scenario `greeting` notices."""

from dataclasses import replace

import restaurant

agent = replace(restaurant.agent, greeting=None)
