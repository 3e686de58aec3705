// The manuals that rules cite: document and revision. A rule adds the section's title.
#pragma once

#define APM2 "AMD APM vol 2 (24593, 2024 edition), "
#define SDM2 "Intel SDM vol 2 (325383-061, Dec 2016), "
#define SDM2_2024 "Intel SDM vol 2 (325383, 2024 edition), "
#define SDM3 "Intel SDM vol 3 (325384-061, Dec 2016), "
