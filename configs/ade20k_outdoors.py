"""OASIS on the outdoor scenes of ADE20K, 256x256, with all 150 classes.

    python -m oasis_jax.main --config=configs/ade20k_outdoors.py --config.data.root=DIR --workdir=runs/ade20k_outdoors

DIR is the root of ADE20K as for ade20k.py, and also holds `sceneCategories.txt`, which assigns each image a scene category. Only images of
the categories below are used, in training and in validation. The published list of images is not available, so the subset, and with
it the scores, can differ a little. Memory as for ade20k.py.
Expected: FID 48.6, mIoU 40.4 (published, not yet reproduced here).
"""
from configs import ade20k

# Not yet compared with a real sceneCategories.txt; names that it does not contain are skipped with a warning that names the nearest.
OUTDOORS = tuple(
    """
    abbey airport alley amphitheater amusement_park apartment_building_outdoor aqueduct arch arrival_gate_outdoor avenue badlands
    balcony_exterior bamboo_forest bayou bazaar_outdoor beach beach_house boardwalk boat_deck botanical_garden bridge broadleaf
    building_facade butte campsite campus canal_natural canal_urban canyon carport castle cathedral_outdoor cemetery chalet chaparral
    church_outdoor cliff coast coral_reef corn_field corral cottage_garden courthouse courtyard creek crevasse crosswalk cultivated dam
    desert_road dock downtown driveway embankment escarpment estuary excavation fairway farm field_road fire_escape fishpond fjord forest
    forest_path forest_road formal_garden fortress fountain gas_station gazebo_exterior geyser glacier golf_course gorge grotto gulch
    harbor hayfield heliport herb_garden highway hill hotel_outdoor house hunting_lodge_outdoor ice_floe iceberg igloo islet
    japanese_garden junkyard kasbah lagoon lake lawn lighthouse mansion market_outdoor marsh meadow moor mosque_outdoor motel mountain
    mountain_path mountain_road mountain_snowy needleleaf oasis observatory_outdoor ocean office_building oil_refinery_outdoor orchard
    outdoor overpass pagoda palace park parking_lot pasture path patio pavilion picnic_area pier plantation_house plaza playground pond
    power_plant_outdoor promenade racecourse railroad_track rainforest residential_neighborhood rice_paddy river road rock_arch
    rope_bridge roundabout rubble ruin sand savanna sea_cliff shopfront skyscraper ski_resort ski_slope slum snowfield stadium_outdoor
    street suburb swamp swimming_pool_outdoor temple_outdoor topiary_garden tower toyshop_exterior tree_farm trestle_bridge tundra valley
    vegetable_garden vegetation viaduct village vineyard volcano waterfall waterfall_fan watering_hole wave wheat_field wild windmill
    woodland yard zen_garden
    """.split()
)


def get_config(variant=""):
    config = ade20k.get_config(variant)
    config.data.scene_categories = OUTDOORS
    return config
